"""Check all of params.yaml and do nothing else."""

from alexnet.errors import UserError
from stages import paths
from stages.command import checked_params, main_repository, run


def main() -> None:
    """Say nothing where all is well; ``run`` has checked the settings themselves."""
    start = checked_params()["init_from"]
    if start is None:
        return
    path = main_repository() / start
    if not path.is_file():
        raise UserError(f"init_from: {path} is missing; name a trained model's file, or leave init_from empty")
    if path.resolve() == (main_repository() / paths.MODEL).resolve():
        raise UserError(f"init_from: {start} is what the training writes anew; copy it elsewhere and name the copy")


if __name__ == "__main__":
    run(main)
