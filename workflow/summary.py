"""Print the test errors, what changed since the last commit, and where the report is, at the end of `make repro`."""

import json
import subprocess
import sys
from typing import Any

from alexnet.files.whole import read_json
from alexnet.output import say
from stages import paths
from stages.command import run
from stages.provenance import changed_code, git


def main() -> None:
    """Print three lines, the settings and errors that changed since the last commit, and why if the code is the same."""
    errors = read_json(paths.METRICS)
    # If a mirrored image is not of its class, the ten crops are five.
    crops = {"center": "centre crop", "ten_crop": "ten crops" if read_json(paths.CARD)["flip"] else "five crops"}
    for name, words in crops.items():
        say(f"{words:>12}: top-1 error {errors[name]['top1_error']:.2%}, top-5 error {errors[name]['top5_error']:.2%}")
    say(f"      report: {paths.PAGE} and {paths.SUMMARY}; `make ui` shows the runs in MLflow")
    for changed in ("params", "metrics"):
        # It prints nothing if nothing changed, and an error that does not matter here before the first commit.
        command = [sys.executable, "-m", "dvc", changed, "diff", "--no-path"]
        if table := subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip():
            say(f"\nsince the last commit (dvc {changed} diff):\n{table}")
    if not changed_code():
        found = differences(errors, json.loads(git("show", f"HEAD:{paths.METRICS}") or "{}"), crops)
        if found:
            say(found)


def differences(errors: dict[str, Any], committed: dict[str, Any], crops: dict[str, str]) -> str:
    """A line if the top-1 errors are not those of the committed report; empty if they are, or if there is none."""
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
        "which adds floating-point numbers in another order; see docs/design.md."
    )


if __name__ == "__main__":
    run(main)
