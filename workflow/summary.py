"""Print the test errors and where the report is, at the end of `make repro`."""

import json

from alexnet.files.whole import read_json
from alexnet.output import say
from stages import paths
from stages.command import run
from stages.provenance import changed_code, git


def main() -> None:
    """Print three lines, and a fourth if the same code and settings gave other errors than the committed report has."""
    errors = read_json(paths.METRICS)
    # If a mirrored image is not of its class, the ten crops are five.
    crops = {"center": "centre crop", "ten_crop": "ten crops" if read_json(paths.CARD)["flip"] else "five crops"}
    for name, words in crops.items():
        say(f"{words:>12}: top-1 error {errors[name]['top1_error']:.2%}, top-5 error {errors[name]['top5_error']:.2%}")
    say(f"      report: {paths.PAGE} and {paths.SUMMARY}; `make ui` shows the runs in MLflow")
    if changed_code():
        return
    committed = errors | json.loads(git("show", f"HEAD:{paths.METRICS}") or "{}")
    differences = [
        f"{words} {errors[name]['top1_error']:.2%} instead of {committed[name]['top1_error']:.2%}"
        for name, words in crops.items()
        if errors[name]["top1_error"] != committed[name]["top1_error"]
    ]
    if differences:
        say(
            f"The committed report has other errors: {', '.join(differences)}. Most likely it was made on another kind of "
            "processor, which adds floating-point numbers in another order; see docs/design.md."
        )


if __name__ == "__main__":
    run(main)
