"""Push all that DVC has computed here to its remote, so that nobody who has the same remote computes it again."""

from dvc.repo import Repo

from alexnet.errors import UserError
from alexnet.output import say
from stages.command import run
from stages.paths import main_repository


def main() -> None:
    """Push what the workspace's dvc.lock names, and every stage that has run here with the files that it wrote.

    ``dvc push --run-cache`` sends the records of these stages, but neither the curves and errors that they wrote, which are in
    git, nor the files of earlier settings. Where one is missing, ``dvc repro --pull`` runs the stage.
    """
    try:
        with Repo(str(main_repository())) as repo:
            sent = repo.push()
            more, failed = push_runs(repo)
    except Exception as error:  # each kind of storage has its own
        raise UserError(f"DVC's remote failed ({' '.join(str(error).split())}); `dvc push -v` says more") from None
    if failed:
        raise UserError(f"{failed} files were not pushed; run this again")
    say(f"pushed {sent + more} files" if sent + more else "DVC's remote has everything")


def push_runs(repo: Repo) -> tuple[int, int]:
    """Push the run cache with the files that ``dvc gc`` has not removed; returns how many were sent, and how many failed."""
    with repo.lock:
        runs = repo.stage_cache.push(None)
        used = set().union(*repo.stage_cache.get_used_objs(runs).values())
        result = repo.cloud.push({file for file in used if repo.cache.local.exists(file.value)})
    return len(result.transferred), len(result.failed)


if __name__ == "__main__":
    run(main)
