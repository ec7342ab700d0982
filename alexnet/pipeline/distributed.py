"""The processes of a training: who they are, which device each has, and how they end together."""

import logging
import math
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from datetime import timedelta
from threading import Thread

import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from alexnet import launcher
from alexnet.errors import UserError
from alexnet.models.devices import HIDE, usable_gpus
from alexnet.pipeline.engine import StepStats
from alexnet.pipeline.replicas import Replica

TIMED_OUT = re.compile("tim(ed|e) ?out", re.IGNORECASE)
"""What the errors of torch.distributed say if another rank did not answer, and not if the connection to it was lost."""

SHARE = "ALEXNET_SHARE_GPU"
"""The environment variable that, set to 1, has all ranks compute on one GPU, to look at a pipeline: it is no way to be fast."""
GRACE = 8.0
"""Seconds in which a rank on a GPU must end by itself after a signal."""

ENDS = (signal.SIGTERM, signal.SIGHUP)
CPU = torch.device("cpu")


class Ranks:
    """This process's place among the ranks of a training, and the messages between them, which are tensors on the CPU."""

    def __init__(
        self, rank: int, count: int, device: torch.device, boundary: torch.device = CPU, replica: Replica | None = None
    ) -> None:
        """``device`` computes; ``boundary`` is where the tensors lie that one stage sends to another: a GPU with NCCL."""
        self.rank, self.count, self.device, self.boundary, self.replica = rank, count, device, boundary, replica
        self.stages = count // replica.count if replica else count
        """Ranks of a pipeline."""
        self.place = rank % self.stages
        """Which of them this is."""
        self._sent: list[tuple[dist.Work, torch.Tensor]] = []

    @property
    def lead(self) -> bool:
        """Whether this is the rank that reads images, writes files and speaks to the user."""
        return self.rank == 0

    @property
    def node(self) -> range:
        """The ranks of this node."""
        size = self.count // launcher.nodes()
        return range(first := self.rank // size * size, first + size)

    def share(self, rows: int) -> slice:
        """The rows of a batch of ``rows`` that this rank's pipeline takes."""
        return self.replica.share(rows) if self.replica else slice(0, rows)

    def from_last(self, stats: StepStats, wish: int = 0) -> tuple[StepStats, int]:
        """The ``stats`` of the pipelines' last ranks, added up, and the last rank's ``wish``, on every rank. All ranks call it.

        The last rank of a pipeline waits for none of its own, unless a value is not finite: it may be about to stop.
        """
        if self.count == 1:
            return stats, wish
        lasts = range(self.stages - 1, self.count, self.stages)
        messages = {last: torch.empty(4, dtype=torch.float64) for last in lasts}
        if self.rank in messages:
            self.wait_for_sends()
            messages[self.rank] = message = torch.tensor([*astuple(stats), wish], dtype=torch.float64)
            calls = [dist.P2POp(dist.isend, message, rank) for rank in range(self.count) if rank != self.rank]
            self._sent.extend((send, message) for send in dist.batch_isend_irecv(calls))
        if calls := [dist.P2POp(dist.irecv, message, last) for last, message in messages.items() if last != self.rank]:
            for receive in dist.batch_isend_irecv(calls):
                receive.wait()
        total, word = StepStats(), 0.0
        for message in messages.values():
            *sums, word = message.tolist()
            total += StepStats(*sums)
        if not all(map(math.isfinite, astuple(total))):
            self.wait_for_sends()
        return total, int(word)

    def gather(self, value: float) -> list[float]:
        """Every rank's ``value``, in their order, on every rank. All ranks call it."""
        if self.count == 1:
            return [value]
        own = torch.tensor([value], dtype=torch.float64)
        values = [torch.empty_like(own) for _ in range(self.count)]
        dist.all_gather(values, own)
        return [value.item() for value in values]

    def wait_for_sends(self) -> None:
        """Wait until the others have what ``from_last`` sent."""
        while self._sent:
            self._sent.pop()[0].wait()


@contextmanager
def join(stages: int, patience: float, replicas: int = 1) -> Iterator[Ranks | None]:
    """Join the ranks that ``workflow.torchrun`` started, or be the only one if it started none.

    ``stages``: ranks of each of ``replicas`` pipelines. ``patience``: minutes that a rank waits for another. Then ``NoAnswer`` is
    raised, and ``ConnectionLost`` if another has ended.

    One GPU per rank: NCCL. Exactly one GPU: rank 0 runs all stages and replicas on it and the others get ``None``, as they have
    nothing to do, unless ``SHARE`` is set or there are several nodes. No GPU: gloo on the CPU. Raises ``UserError`` if the ranks
    do not match the processes or GPUs, or if there is a GPU that torch cannot use.
    """
    started, rank, ranks = launcher.ranks(), launcher.rank(), stages * replicas
    times = f" times pipeline.replicas: {replicas}" if replicas > 1 else ""
    if started != ranks:
        raise UserError(
            f"pipeline.ranks: {stages}{times} needs {ranks} processes, not {started}; "
            f"run `python -m workflow.torchrun --nproc-per-node {ranks} -m stages.train`"
        )
    gpus, local, alone = usable_gpus(), launcher.local_ranks(), launcher.nodes() == 1
    shared = gpus == 1 and os.environ.get(SHARE) == "1"
    if 0 < gpus < local and not (gpus == 1 and (alone or shared)):
        raise UserError(_too_few(gpus, stages, replicas) if alone else _too_few_here(gpus, local))
    before = {end: signal.signal(end, lambda number, _: sys.exit(128 + number)) for end in ENDS}
    done = False
    try:
        if ranks == 1 or (gpus == 1 and alone and not shared):
            yield Ranks(0, 1, torch.device("cuda", 0) if gpus else CPU) if rank == 0 else None
        else:
            group = _join_group(rank, ranks, gpus, timedelta(minutes=patience))
            yield in_replicas(group, replicas, patience) if replicas > 1 else group
        done = True
    except RuntimeError as error:
        # gloo's errors have no type of their own, and name its source file.
        if not isinstance(error, dist.DistError) and "/gloo/" not in str(error):
            raise
        if not TIMED_OUT.search(str(error)):
            raise launcher.ConnectionLost from error
        other = f"rank {1 - rank}" if ranks == 2 else "another rank"
        raise launcher.NoAnswer(
            f"{other} has not answered for machine.patience: {patience:g} minutes; look at the disk and the load of this "
            "machine, or raise machine.patience, and run this again"
        ) from None
    finally:
        for end, handler in before.items():
            signal.signal(end, handler)
        signal.set_wakeup_fd(-1)
        # After an error, NCCL would wait here for the other ranks, which wait for this one.
        if dist.is_initialized() and (done or gpus < local):
            dist.destroy_process_group()


def in_replicas(ranks: Ranks, replicas: int, patience: float) -> Ranks:
    """The same ranks as several pipelines. All call it; ``patience`` is as that of ``join``."""
    replica = Replica(replicas, ranks.boundary, timedelta(minutes=patience))
    return Ranks(ranks.rank, ranks.count, ranks.device, ranks.boundary, replica)


def _too_few(gpus: int, stages: int, replicas: int) -> str:
    if replicas == 1:
        return f"pipeline.ranks: {stages} is more than the {gpus} GPUs of this machine; set it to {gpus}, or to 1"
    fewer = "set pipeline.ranks to 1, or " if stages > 1 and replicas <= gpus else ""
    return (
        f"pipeline.ranks: {stages} times pipeline.replicas: {replicas} is more than the {gpus} GPUs of this machine; "
        f"{fewer}put CUDA_VISIBLE_DEVICES=0 in front of the command, and the first does it all"
    )


def _too_few_here(gpus: int, local: int) -> str:
    return (
        f"machine.nodes: {launcher.nodes()} puts {local} ranks on each node, more than its GPUs, {gpus}; take more nodes or "
        f"fewer ranks, or {HIDE}, on all nodes"
    )


def launchers_store() -> TCPStore:
    """A connection to the store of the launcher, of the first one if there are several."""
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return TCPStore(address, port, is_master=False, wait_for_workers=False)


def _refuse_mixed(device: str, timeout: timedelta) -> None:
    """Raise ``UserError`` on all ranks if some compute on GPUs and some on CPUs: they would wait for each other."""
    store = launchers_store()
    store.set_timeout(timeout)
    store.set(f"device {launcher.rank()}", device)
    for rank in range(launcher.ranks()):
        if (other := store.get(f"device {rank}").decode()) != device:
            number = rank // launcher.local_ranks() + 1
            raise UserError(f"node {number} would compute on a {other}, and this one on a {device}; {HIDE}, on all nodes")


def use_loopback() -> None:
    """Have gloo use the loopback interface: all ranks are on this machine.

    Left alone, gloo looks up the machine's name, which may not resolve, or uses what ``GLOO_SOCKET_IFNAME`` names.
    """
    os.environ["GLOO_SOCKET_IFNAME"] = socket.if_indextoname(1)


def _join_group(rank: int, ranks: int, gpus: int, timeout: timedelta) -> Ranks:
    # Its schedules print themselves if a rank is lost.
    logging.getLogger("torch.distributed.pipelining").setLevel(logging.CRITICAL)
    local = launcher.local_ranks()
    if launcher.nodes() == 1:
        use_loopback()
    else:
        _refuse_mixed("GPU" if gpus else "CPU", timeout)
    if gpus < local:
        dist.init_process_group("gloo", timeout=timeout)
        return Ranks(rank, ranks, torch.device("cuda", 0) if gpus else CPU)
    device = torch.device("cuda", launcher.local_rank())
    torch.cuda.set_device(device)
    _end_in_time()
    dist.init_process_group("cpu:gloo,cuda:nccl", timeout=timeout, device_id=device)
    return Ranks(rank, ranks, device, boundary=device)


def _end_in_time() -> None:
    """From now on, end this process ``GRACE`` seconds after one of ``ENDS``, if it has not ended by then.

    A rank whose GPU waits for another rank that has ended does not get to Python's handlers, but other threads run.
    """
    ours, pythons = os.pipe()
    os.set_blocking(pythons, False)
    signal.set_wakeup_fd(pythons, warn_on_full_buffer=False)

    def watch() -> None:
        while (number := os.read(ours, 1)[0]) not in ENDS:
            pass
        time.sleep(GRACE)
        os._exit(128 + number)

    Thread(target=watch, name="end in time", daemon=True).start()
