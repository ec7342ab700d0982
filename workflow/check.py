"""Check all of params.yaml, and restore what DVC has left damaged."""

import os
from typing import Any

from alexnet.config.processor import refuse_emulation
from alexnet.errors import UserError
from alexnet.home import expanded
from stages import paths
from stages.command import checked_params, run
from stages.provenance import git
from workflow.restore import restore


def main() -> None:
    """Print nothing if all is well; ``run`` has checked the settings themselves."""
    check_machine(checked_params())
    if "DVC_STAGE" not in os.environ:
        restore()


def refuse_uncommitted() -> None:
    """Raise ``UserError`` if no commit of git has these files, on which DVC builds its experiments."""
    if not git("rev-parse", "--verify", f"HEAD:./{paths.PARAMS}"):
        raise UserError(
            "DVC needs git and a commit of these files; run `git init` and `git add -A && git commit -m start`, "
            "then run this again"
        )


def check_machine(params: dict[str, Any]) -> None:
    """Raise ``UserError`` if this machine would emulate bfloat16, or the model to start from cannot be used.

    Its path starts at the main repository if it is relative; ``~`` is expanded.
    """
    refuse_emulation(params["precision"])
    init_from, main = params["init_from"], paths.main_repository()
    if init_from is None:
        return
    path = main / expanded(init_from, "init_from")
    if path.resolve() == (main / paths.MODEL).resolve():
        raise UserError(
            f"init_from: {init_from} is overwritten by the training; copy it and set the copy (`dvc checkout` restores it)"
        )
    if not path.is_file():
        raise UserError(f"init_from: {path} is missing; set it to a trained model's file, or leave it empty")


if __name__ == "__main__":
    run(main)
