"""torchrun on this machine, without its own traceback after the message of a rank."""

import logging
import os
import resource
import socket
import sys

from alexnet.launcher import launch

ONE_MACHINE = ["--nnodes", "1", "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"]
"""Like --standalone, but with a fixed address: torchrun would look up this machine's name, which may not resolve or may belong
to another machine."""

CLUSTER_VARIABLES = (
    *("PET_", "TORCHELASTIC_", "LOGLEVEL", "PYTHON_EXEC", "USE_LIBUV", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE"),
    *("GLOO_", "TORCH_GLOO_", "TORCH_DISTRIBUTED_DEBUG", "NCCL_SOCKET_", "NCCL_COMM_ID"),
)
"""Prefixes of variables that change what torchrun does or how the ranks reach each other, and that a cluster's job leaves behind.
The ranks' own, such as RANK and MASTER_ADDR, are set by torchrun."""

MEMORY = 4 << 30
"""Bytes of address space, without which torch ends the process while it is loaded."""


def main(arguments: list[str]) -> int:
    """Run torchrun and return the exit status: that of the first rank that failed, 130 after Ctrl-C."""
    for name in [name for name in os.environ if name.startswith(CLUSTER_VARIABLES)]:
        del os.environ[name]
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    limited = limit != resource.RLIM_INFINITY
    if limited and limit < MEMORY:
        print(
            f"error: torch does not start in {limit >> 20:,} MiB, the limit of memory here; raise it to {2 * MEMORY >> 20:,} MiB "
            f"or more (`ulimit -v {2 * MEMORY >> 10}`), then run this again",
            file=sys.stderr,
        )
        return 2
    launch()
    # Ranks set their threads themselves; without this, torchrun warns that it sets one.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    # It writes this machine's name into records that nobody reads; an unresponsive DNS server takes minutes each time.
    socket.getfqdn = lambda name="": name or socket.gethostname()
    logging.disable(logging.ERROR)
    try:
        torchrun([*ONE_MACHINE, *arguments])
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            name = failure.signal_name()
            remedy = "raise the limit (`ulimit -v`)" if limited else "free some or reduce batch_size"
            memory = f"most likely the memory was not enough: {remedy}, and " if limited or name == "SIGKILL" else ""
            print(f"error: rank {rank} was killed by {name}; {memory}run this again", file=sys.stderr)
        return failure.exitcode if failure.exitcode > 0 else 1
    except (SignalException, KeyboardInterrupt):
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
