"""Print the test errors, what changed since the last commit, and where the report is, at the end of `make repro`."""

import subprocess
import sys

from alexnet.files.whole import read_json
from alexnet.output import say
from stages import paths
from stages.command import run
from stages.provenance import changed_code, git


def main() -> None:
    """Print three lines, then the settings and errors that changed since the last commit, and why if nothing else changed."""
    errors = read_json(paths.METRICS)
    # If a mirrored image is not of its class, the ten crops are five.
    crops = {"center": "centre crop", "ten_crop": "ten crops" if read_json(paths.CARD)["flip"] else "five crops"}
    for name, words in crops.items():
        say(f"{words:>12}: top-1 error {errors[name]['top1_error']:.2%}, top-5 error {errors[name]['top5_error']:.2%}")
    say(f"      report: {paths.PAGE} and {paths.SUMMARY}; `make ui` shows the runs in MLflow")
    changes = {kind: _diff(kind) for kind in ("params", "metrics")}
    for kind, table in changes.items():
        if table:
            say(f"\nsince the last commit (dvc {kind} diff):\n{table}")
    if changes["metrics"] and not changed_code() and git("ls-tree", "HEAD", "--", str(paths.METRICS)):
        say(
            "\nCode and settings are those of the last commit. If its report was made with them, then most likely on another "
            "kind of processor, which adds floating-point numbers in another order; see docs/design.md."
        )


def _diff(kind: str) -> str:
    """What DVC prints of params or metrics that changed since the last commit; empty if none did, or before the first commit."""
    command = [sys.executable, "-m", "dvc", kind, "diff", "--no-path"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    run(main)
