"""Check all of params.yaml and do nothing else."""

from stages.command import run


def main() -> None:
    """Say nothing where all is well; ``run`` has done the check."""


if __name__ == "__main__":
    run(main)
