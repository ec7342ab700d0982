"""torchrun, on the only machine of a training or the first: Ctrl-C asks the ranks, and the last line is that of a rank."""

import logging
import math
import os
import re
import resource
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil  # type: ignore[import-untyped]

from alexnet.config.machine import Machine
from alexnet.errors import UserError
from alexnet.launcher import SETTINGS, Report, first_report, launch
from alexnet.output import complain
from stages import paths
from stages.command import checked_params
from workflow.nodes import INTERFACES, Node, first

ONE_MACHINE = ["--nnodes", "1", "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"]
"""Like --standalone, but with a fixed address: torchrun would look up this machine's name, which may not resolve or may belong
to another machine."""

CLUSTER_VARIABLES = (
    *("PET_", "TORCHELASTIC_", "LOGLEVEL", "PYTHON_EXEC", "USE_LIBUV", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE"),
    *("GLOO_", "TORCH_GLOO_", "TORCH_DISTRIBUTED_DEBUG", "NCCL_SOCKET_", "NCCL_COMM_ID"),
)
"""Prefixes of variables that change what torchrun does or how the ranks reach each other, and that a cluster's job leaves behind.
The ranks' own, such as RANK and MASTER_ADDR, are set by torchrun."""

PROCESSES = "--nproc-per-node"
PRODUCT = re.compile("[0-9]+x[0-9]+")
"""Ranks times replicas, as a number of processes: DVC fills in settings but does not multiply."""

MEMORY = 4 << 30
"""Bytes of address space, without which torch ends the process while it is loaded."""
AT_MOST = 2
"""How often a training is asked to stop before it is killed."""


def main(arguments: list[str]) -> int:
    """Run torchrun and return the exit status: that of the first rank that failed, 130 after Ctrl-C.

    With ``machine.nodes`` in params.yaml, be the first of them.
    """
    arguments = [str(math.prod(map(int, word.split("x")))) if PRODUCT.fullmatch(word) else word for word in arguments]
    return said_in_one_line(lambda: _main(arguments))


def said_in_one_line(command: Callable[[], int]) -> int:
    """The exit status of ``command``; 2 after a ``UserError`` and 130 after Ctrl-C, which are said."""
    try:
        return command()
    except UserError as error:
        complain(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        complain("interrupted")
        return 130


def _main(arguments: list[str]) -> int:
    machine = Machine.read(checked_params()["machine"]) if paths.PARAMS.exists() else None
    if machine is None or machine.nodes == 1:
        quiet_torch("ERROR")  # it warns, for example, of a kernel without IPv6
        return run_ranks([*ONE_MACHINE, *arguments])
    processes = arguments.index(PROCESSES) + 1
    here, surplus = divmod(int(arguments[processes]), machine.nodes)
    if surplus:
        raise UserError(f"{PROCESSES} {arguments[processes]} is not a multiple of machine.nodes: {machine.nodes}")
    arguments[processes] = str(here)
    quiet_torch("FATAL")  # which leaves out where its code was when another node is not there
    return run_node(first(machine, here), arguments)


def quiet_torch(level: str) -> None:
    """Have torch's C++ code print nothing below ``level``; call it before torch is imported."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", level)


def run_node(node: Node, arguments: list[str]) -> int:
    """Run the ranks of one of several nodes. Raises ``UserError`` if the others do not come."""
    try:
        node.wait_for_all()
    except BaseException:
        node.give_up()
        raise
    return run_ranks([*node.torchrun, *arguments], node)


def run_ranks(arguments: list[str], node: Node | None = None) -> int:
    """Run torchrun, and print what the first rank to fail has said."""
    kept = {name: os.environ[name] for name in INTERFACES if node and name in os.environ}
    for name in [name for name in os.environ if name.startswith(CLUSTER_VARIABLES)]:
        del os.environ[name]
    os.environ |= kept
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    limited = limit != resource.RLIM_INFINITY
    if limited and limit < MEMORY:
        raise UserError(
            f"torch does not start in {limit >> 20:,} MiB, the limit of memory here; raise it to {2 * MEMORY >> 20:,} MiB "
            f"or more (`ulimit -v {2 * MEMORY >> 10}`), then run this again"
        )
    # Ranks set their threads themselves; without this, torchrun warns that it sets one.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with TemporaryDirectory(prefix="alexnet-", ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        launch(Path(folder))
        if node:
            node.choose_network()
            Path(folder, SETTINGS).write_text(node.plan.settings, encoding="utf-8")
            stack.enter_context(node.listening(Path(folder)))
        end = _torchrun(arguments, limited)
        report = first_report(Path(folder)) if end.status else None
    text = report.text if report else end.text
    if text:
        print(text, file=sys.stderr)
    status = report.status if report and end.status == 1 else end.status
    if node:
        node.leave(text, status)
    return status


def _torchrun(arguments: list[str], limited: bool) -> Report:
    """How it ended, by what it knows of the ranks."""
    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    # It writes this machine's name into records that nobody reads; an unresponsive DNS server takes minutes each time.
    socket.getfqdn = lambda name="": name or socket.gethostname()
    logging.disable(logging.ERROR)
    interrupts = Interrupts()
    signal.signal(signal.SIGINT, interrupts.forward)
    try:
        torchrun(["--signals-to-handle", "SIGTERM,SIGHUP,SIGQUIT", *arguments])
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if interrupts.count > AT_MOST:
            return Report("", 130)
        number = -failure.exitcode if failure.exitcode < 0 else failure.exitcode - 128
        if number not in set(signal.Signals) - {signal.SIGINT}:
            return Report("", failure.exitcode)
        name = signal.Signals(number).name
        remedy = "raise the limit (`ulimit -v`)" if limited else "free some or reduce batch_size"
        memory = f"most likely the memory was not enough: {remedy}, and " if limited or name == "SIGKILL" else ""
        return Report(f"error: rank {rank} was killed by {name}; {memory}run this again", 1)
    except SignalException as error:
        return Report("", 128 + int(error.sigval))
    except DistError:
        return Report("error: another node ended before the training began; start all again", 1)
    return Report("", 0)


class Interrupts:
    """Passes Ctrl-C on to the ranks, which are in sessions of their own and get none from the terminal.

    The first and the second ask a training to stop (``alexnet.train.stopping``); one more ends the ranks.
    """

    def __init__(self) -> None:
        self.count = 0

    def forward(self, number: int, frame: object) -> None:
        """Handle a SIGINT."""
        self.count += 1
        for rank in psutil.Process().children():
            rank.send_signal(signal.SIGINT if self.count <= AT_MOST else signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
