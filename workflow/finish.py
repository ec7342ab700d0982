"""Let the training that runs end its epoch, so that its model can be kept; with ``--now``, stop it at once."""

import argparse
import sys

from filelock import FileLock, Timeout

from alexnet.errors import UserError
from alexnet.output import complain, flush, say
from alexnet.train.folders import LOCK
from alexnet.train.stopping import ask
from stages import paths
from stages.paths import main_repository


def main() -> None:
    """Read the command line and ask every training of this repository that runs. Exit 2 if there is none."""
    parser = argparse.ArgumentParser(prog="python -m workflow.finish", description=__doc__, allow_abbrev=False)
    parser.add_argument("--now", action="store_true", help="stop after the running step; the same command goes on from there")
    try:
        try:
            arguments = parser.parse_args()
        finally:
            flush()
        finish(arguments.now)
    except UserError as error:
        complain(f"error: {error}")
        sys.exit(2)


def finish(now: bool) -> None:
    """Ask. Raises ``UserError`` if no training runs that saves its state."""
    running = 0
    for lock in (main_repository() / paths.CHECKPOINTS).glob(f"*/{LOCK}"):
        try:
            with FileLock(lock, timeout=0):
                pass  # nobody holds it: a training that was stopped or has finished
        except Timeout:
            ask(lock.parent, at_once=now)
            running += 1
    if not running:
        raise UserError("no training runs in this repository that saves its state; start one, or set machine.checkpoint_minutes")
    trainings = "one training" if running == 1 else f"{running} trainings"
    when = "step" if now else "epoch"
    say(f"asked {trainings} to stop after the running {when}; what follows is said where it runs")


if __name__ == "__main__":
    main()
