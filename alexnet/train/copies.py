"""States of a training whose nodes share no folder: the lead writes what the others have, and sends what they need."""

import random
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from alexnet import launcher
from alexnet.pipeline.distributed import Ranks
from alexnet.train.snapshot import Snapshot, failure, rank_file, state_file, tensors_of, write_rank

CHUNK = 1 << 24
"""Bytes of a message."""


def seen_by(ranks: Ranks, folder: Path) -> list[bool]:
    """Which ranks see the ``folder`` of the lead under this path. All ranks call it."""
    if launcher.nodes() == 1:
        return [True] * ranks.count
    mark = folder / f"seen-{ranks.gather(random.getrandbits(50))[0]:.0f}"
    if ranks.lead:
        with suppress(OSError):
            mark.touch()
    ranks.gather(0)  # it is there
    seen = ranks.gather(ranks.lead or mark.exists())
    if ranks.lead:
        mark.unlink(missing_ok=True)
    return list(map(bool, seen))


def collect(ranks: Ranks, seen: Sequence[bool], folder: Path, content: bytes) -> int:
    """Have the lead write the ``content`` of the ranks that have not ``seen`` its ``folder``. All ranks call it.

    Returns the system's error number, or 0.
    """
    failed = 0
    for rank in (rank for rank in range(ranks.stages) if not seen[rank]):
        if ranks.rank == rank:
            _send(content)
        elif ranks.lead:
            received = _receive(rank)
            failed = failed or failure(partial(write_rank, folder, rank, received))
    return failed


def _send(content: bytes) -> None:
    dist.send(torch.tensor([len(content)]), 0)
    for part in torch.split(_tensor(content), CHUNK):
        dist.send(part, 0)


def _receive(rank: int) -> bytes:
    dist.recv(size := torch.empty(1, dtype=torch.int64), rank)
    content = torch.empty(int(size), dtype=torch.uint8)
    for part in torch.split(content, CHUNK):
        dist.recv(part, rank)
    return content.numpy().tobytes()


def from_lead(ranks: Ranks, content: bytes = b"") -> bytes:
    """The ``content`` that the lead has, on every rank. All ranks call it."""
    if ranks.count == 1:
        return content
    size = int(ranks.gather(len(content))[0])
    whole = _tensor(content) if ranks.lead else torch.empty(size, dtype=torch.uint8)
    for part in torch.split(whole, CHUNK):
        dist.broadcast(part, 0)
    return whole.numpy().tobytes()


def snapshot_of_lead(ranks: Ranks, folder: Path, parameters: Collection[str]) -> tuple[Snapshot, dict[str, Tensor]]:
    """The state in the lead's ``folder``, which it has verified, and what all ranks saved of these parameters.

    All ranks call it; in the memory of each is one rank's file at a time.
    """

    def sent(path: Path) -> bytes:
        return from_lead(ranks, path.read_bytes() if ranks.lead else b"")

    snapshot, found = Snapshot.parsed(sent(state_file(folder)).decode()), dict[str, Tensor]()
    for rank in range(len(snapshot.hashes)):
        found |= tensors_of(sent(rank_file(folder, rank)), parameters)
    return snapshot, found


def _tensor(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else torch.empty(0, dtype=torch.uint8)
