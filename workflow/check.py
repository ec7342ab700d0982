"""Check all of params.yaml and do nothing else."""

from pathlib import Path

from alexnet.config.processor import refuse_emulation
from alexnet.errors import UserError
from alexnet.home import expanded
from stages import paths
from stages.command import checked_params, run
from stages.paths import main_repository
from stages.provenance import git


def main() -> None:
    """Print nothing if all is well; ``run`` has checked the settings themselves."""
    params = checked_params()
    refuse_emulation(params["precision"])
    if params["init_from"] is not None:
        check_start(params["init_from"], main_repository())


def refuse_uncommitted() -> None:
    """Raise ``UserError`` if no commit of git has these files, on which DVC builds its experiments."""
    if not git("rev-parse", "--verify", f"HEAD:./{paths.PARAMS}"):
        raise UserError(
            "DVC needs git and a commit of these files; run `git init` and `git add -A && git commit -m start`, "
            "then run this again"
        )


def check_start(init_from: str, main: Path) -> None:
    """Raise ``UserError`` if the model to start from cannot be used; a relative path starts at ``main``, ``~`` is expanded."""
    path = main / expanded(init_from, "init_from")
    if path.resolve() == (main / paths.MODEL).resolve():
        raise UserError(
            f"init_from: {init_from} is overwritten by the training; copy it and set the copy (`dvc checkout` restores it)"
        )
    if not path.is_file():
        raise UserError(f"init_from: {path} is missing; set it to a trained model's file, or leave it empty")


if __name__ == "__main__":
    run(main)
