"""The processes of a training: who they are, which device each has, and how they end together."""

import ctypes
import math
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import torch
import torch.distributed as dist

from alexnet import ranks as launcher
from alexnet.errors import UserError
from alexnet.settings.processor import has_bfloat16

TIMEOUT = timedelta(minutes=10)
"""How long a rank waits for another before it gives up."""


@dataclass(frozen=True)
class Runtime:
    """This process's place among the ranks of a training."""

    rank: int
    ranks: int
    device: torch.device
    _sent: list[tuple[dist.Work, torch.Tensor]] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def lead(self) -> bool:
        """Whether this is the rank that reads images, writes files and speaks to the user."""
        return self.rank == 0

    def agree(self, values: Sequence[float]) -> list[float]:
        """What the last rank says: its ``values``, as float64, on every rank. All ranks call it with as many values.

        The last rank does not wait for the others, unless a value is not finite: it may be about to stop.
        """
        if self.ranks == 1:
            return list(values)
        last = self.ranks - 1
        wire = torch.tensor(values, dtype=torch.float64, device=self.device)
        if self.rank == last:
            self.settle()
            sends = dist.batch_isend_irecv([dist.P2POp(dist.isend, wire, rank) for rank in range(last)])
            self._sent.extend((send, wire) for send in sends)
            if not all(map(math.isfinite, values)):
                self.settle()
        else:
            for receive in dist.batch_isend_irecv([dist.P2POp(dist.irecv, wire, last)]):
                receive.wait()
        agreed: list[float] = wire.tolist()
        return agreed

    def gather(self, value: float) -> list[float]:
        """Every rank's ``value``, in their order, on every rank. All ranks call it."""
        if self.ranks == 1:
            return [value]
        wire = torch.tensor([value], dtype=torch.float64, device=self.device)
        wires = [torch.empty_like(wire) for _ in range(self.ranks)]
        dist.all_gather(wires, wire)
        return [other.item() for other in wires]

    def settle(self) -> None:
        """Wait until the others have what ``agree`` sent."""
        while self._sent:
            self._sent.pop()[0].wait()


@contextmanager
def join(ranks: int) -> Iterator[Runtime | None]:
    """Join the training's processes, as ``stages.torchrun`` started them, or be its one process where it started none.

    As many GPUs as ranks: NCCL, one GPU a rank. Exactly one GPU: rank 0 runs all stages on it and the others get ``None``,
    for they have nothing to do. None: gloo on the CPU. Raises ``UserError`` where ranks and processes or GPUs do not fit.
    """
    started, rank = launcher.ranks(), launcher.rank()
    if started != ranks:
        raise UserError(
            f"pipeline.ranks: {ranks} needs as many processes, not {started}; "
            f"run `python -m stages.torchrun --nproc-per-node {ranks} -m stages.train`"
        )
    gpus = torch.cuda.device_count()
    if 1 < gpus < ranks:
        raise UserError(f"pipeline.ranks: {ranks} is more than the {gpus} GPUs here; set it to {gpus}, or to 1")
    _die_with_parent()
    before = {end: signal.signal(end, lambda number, _: sys.exit(128 + number)) for end in (signal.SIGTERM, signal.SIGHUP)}
    try:
        if ranks == 1 or gpus == 1:
            yield Runtime(0, 1, torch.device("cuda", 0) if gpus else torch.device("cpu")) if rank == 0 else None
        else:
            yield _join_group(rank, ranks, gpus)
    finally:
        for end, handler in before.items():
            signal.signal(end, handler)
        if dist.is_initialized():
            dist.destroy_process_group()


def _join_group(rank: int, ranks: int, gpus: int) -> Runtime:
    if gpus == 0:
        # All ranks are on this machine. Left alone, gloo looks up the machine's name, which may not resolve.
        os.environ["GLOO_SOCKET_IFNAME"] = socket.if_indextoname(1)  # the loopback interface
        dist.init_process_group("gloo", timeout=TIMEOUT)
        return Runtime(rank, ranks, torch.device("cpu"))
    device = torch.device("cuda", rank)
    torch.cuda.set_device(device)
    dist.init_process_group("nccl", timeout=TIMEOUT, device_id=device)
    return Runtime(rank, ranks, device)


def prepare_process(threads: int) -> None:
    """Set what every computing process needs: its threads, kernels that repeat themselves, and memory kept between steps.

    Products of float32 are float32 on GPUs too, never TF32: precision is a setting and not the hardware's choice.
    """
    torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # What use_deterministic_algorithms(True, warn_only=True) does, without the second that it takes to load the compiler.
    torch.set_deterministic_debug_mode("warn")
    # Filling new memory with NaN, which this mode does by default, takes time and guards against nothing here.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    _keep_memory()


def _keep_memory() -> None:
    """Let glibc reuse large blocks: as it comes, it maps and unmaps each activation, which halves the speed on a CPU."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, top_pad, mmap_max = -1, -2, -4
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**28)


def _die_with_parent() -> None:
    """Ask Linux to kill this rank when torchrun dies, which a SIGKILL to torchrun alone would not do."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None and launcher.launched():
        set_parent_death_signal = 1
        prctl(set_parent_death_signal, signal.SIGKILL)


def supports_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 by instructions of its own."""
    return bool(torch.cuda.is_bf16_supported(including_emulation=False)) if device.type == "cuda" else has_bfloat16()
