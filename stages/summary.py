"""Say where the report is and what the test errors are; the last words of `make repro`."""

import json
from typing import Any

from alexnet.files import read_json
from stages import paths
from stages.command import git, run
from stages.provenance import changed_code


def main() -> None:
    """Print three lines, and a fourth where the same code and settings gave other errors than the committed report has."""
    errors = read_json(paths.METRICS)
    # Where a mirrored image is not of its class, the ten crops are five.
    crops = {"center": "centre crop", "ten_crop": "ten crops" if read_json(paths.CARD)["flip"] else "five crops"}
    for name, words in crops.items():
        print(f"{words:>12}: top-1 error {errors[name]['top1_error']:.2%}, top-5 error {errors[name]['top5_error']:.2%}")
    print(f"      report: {paths.PAGE} and {paths.SUMMARY}; `make ui` shows the runs in MLflow")
    if not changed_code():
        print(differences(errors, json.loads(git("show", f"HEAD:{paths.METRICS}") or "{}"), crops), end="")


def differences(errors: dict[str, Any], committed: dict[str, Any], crops: dict[str, str]) -> str:
    """A line where the top-1 errors are not those of the committed report; empty where they are, or where there is none."""
    others = {name: committed.get(name, errors[name])["top1_error"] for name in crops}
    found = [
        f"{crops[name]} {errors[name]['top1_error']:.2%} instead of {other:.2%}"
        for name, other in others.items()
        if errors[name]["top1_error"] != other
    ]
    if not found:
        return ""
    return (
        f"The committed report has other errors: {', '.join(found)}. Most likely it was made on another kind of processor, "
        "which adds floating-point numbers in another order; see docs/design.md.\n"
    )


if __name__ == "__main__":
    run(main)
