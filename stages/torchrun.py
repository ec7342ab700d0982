"""torchrun, without a traceback of its own under what a rank has said already."""

import logging
import os
import sys


def main(arguments: list[str]) -> int:
    """Run torchrun and give the status to exit with: that of the first rank that failed, 130 after Ctrl-C."""
    # Ranks set their threads themselves; without this torchrun warns that it sets one.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    logging.disable(logging.ERROR)
    try:
        torchrun(arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            name = failure.signal_name()
            memory = "most likely memory ran out: free some or take a smaller batch_size, and " if name == "SIGKILL" else ""
            print(f"error: rank {rank} was ended by {name}; {memory}run this again", file=sys.stderr)
        return failure.exitcode if failure.exitcode > 0 else 1
    except (SignalException, KeyboardInterrupt):
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
