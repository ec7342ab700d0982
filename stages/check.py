"""Check all of params.yaml and do nothing else."""

from pathlib import Path

from alexnet.errors import UserError
from alexnet.settings.processor import refuse_emulation
from stages import paths
from stages.command import checked_params, main_repository, run


def main() -> None:
    """Say nothing where all is well; ``run`` has checked the settings themselves."""
    params = checked_params()
    refuse_emulation(params["precision"])
    if params["init_from"] is not None:
        check_start(params["init_from"], main_repository())


def check_start(init_from: str, main: Path) -> None:
    """Raise ``UserError`` where the model to start from, beginning at the main repository, cannot be had."""
    path = main / init_from
    if path.resolve() == (main / paths.MODEL).resolve():
        raise UserError(
            f"init_from: {init_from} is what the training writes anew; copy it and name the copy (`dvc checkout` brings it back)"
        )
    if not path.is_file():
        raise UserError(f"init_from: {path} is missing; name a trained model's file, or leave init_from empty")


if __name__ == "__main__":
    run(main)
