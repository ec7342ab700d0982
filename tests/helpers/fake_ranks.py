"""A rank of a pipeline in which nobody else is: what it sends, receives and waits for, and whether NCCL ends with it."""

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import pytest
import torch
import torch.distributed as dist
from torch.distributed.pipelining import schedules


class Done(NamedTuple):
    """A batch of point-to-point calls, or the wait for one, in the order of a rank's program."""

    batch: int
    calls: tuple[tuple[str, int, torch.dtype], ...] = ()
    """``isend`` or ``irecv``, the other rank, and the type; none of a wait."""


Log = list[Done]


class Work:
    """What stands for the work of a batch of point-to-point calls."""

    def __init__(self, batch: int, log: Log) -> None:
        self.batch, self.log = batch, log

    def wait(self) -> None:
        self.log.append(Done(self.batch))


@contextmanager
def rank_of(rank: int, count: int) -> Iterator[Log]:
    """Be a rank of a group in which nobody else is. Yields what it does, whose tensors are checked."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    log: Log = []

    def batch(operations: list[dist.P2POp], desc: str | None = None) -> list[Work]:
        for operation in operations:
            assert operation.tensor.device == torch.device("cuda", rank), "a boundary tensor on another device"
            assert operation.tensor.is_contiguous(), "a boundary tensor that is not contiguous"
        if not operations:
            return []
        calls = ((operation.op.__name__, operation.peer, operation.tensor.dtype) for operation in operations)
        log.append(Done(len(log), tuple(calls)))
        return [Work(log[-1].batch, log)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedules, "_batch_p2p", batch)
        dist.init_process_group("fake", rank=rank, world_size=count, store=FakeStore())
        try:
            yield log
        finally:
            dist.destroy_process_group()


def ends(logs: Sequence[Log]) -> bool:
    """Whether NCCL comes to the end of the ranks' programs.

    A rank's batches run one after the other, each behind the waits before it in the program; one ends when all ranks that it
    speaks to have begun theirs. NCCL may run more at a time, never less.
    """
    others = _others(logs)
    at, queues = [0] * len(logs), [deque[int]() for _ in logs]
    begun, over = set[tuple[int, int]](), set[tuple[int, int]]()
    before = -1
    while before < (before := sum(at) + len(begun) + len(over)):
        for rank, log in enumerate(logs):
            while at[rank] < len(log) and (log[at[rank]].calls or (rank, log[at[rank]].batch) in over):
                if log[at[rank]].calls:
                    queues[rank].append(log[at[rank]].batch)
                at[rank] += 1
            while queues[rank]:
                here = rank, queues[rank][0]
                begun.add(here)
                if not others[here] <= begun:
                    break
                over.add((rank, queues[rank].popleft()))
    return at == list(map(len, logs)) and not any(queues)


def _others(logs: Sequence[Log]) -> dict[tuple[int, int], set[tuple[int, int]]]:
    """The batches that take part in each batch, by rank and number: the n-th send to a rank belongs to its n-th receive."""
    ends: defaultdict[tuple[str, int, int], list[tuple[int, int]]] = defaultdict(list)
    for rank, log in enumerate(logs):
        for done in log:
            for way, peer, _ in done.calls:
                ends[way, *((rank, peer) if way == "isend" else (peer, rank))].append((rank, done.batch))
    found = defaultdict[tuple[int, int], set[tuple[int, int]]](set)
    for (way, sender, receiver), sends in list(ends.items()):
        if way == "isend":
            for send, receive in zip(sends, ends["irecv", sender, receiver], strict=True):
                found[send].add(receive)
                found[receive].add(send)
    return found
