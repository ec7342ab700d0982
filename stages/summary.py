"""Say where the report is and what the test errors are; the last words of `make repro`."""

from alexnet.files import read_json
from stages import paths
from stages.command import run


def main() -> None:
    """Print three lines."""
    errors = read_json(paths.METRICS)
    # Where a mirrored image is not of its class, the ten crops are five.
    crops = "ten crops" if read_json(paths.CARD)["flip"] else "five crops"
    for name, words in (("center", "centre crop"), ("ten_crop", crops)):
        print(f"{words:>12}: top-1 error {errors[name]['top1_error']:.2%}, top-5 error {errors[name]['top5_error']:.2%}")
    print(f"      report: {paths.PAGE} and {paths.SUMMARY}; `make ui` shows the runs in MLflow")


if __name__ == "__main__":
    run(main)
