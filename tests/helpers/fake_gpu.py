"""GPUs that compute nothing: torch's fake tensors on ``cuda``, which have shapes, types, layouts and devices alone.

They show tensors on the wrong device, boundary tensors of the wrong layout and copies from the host, without a GPU. Streams,
hangs and NCCL are beyond them.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import Node
from torch.distributed.pipelining import schedules
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from alexnet.models.network import Network
from alexnet.pipeline import pipeline, single_process
from alexnet.pipeline.captured import CapturedStep


class Transfers(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records copies between devices."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)]
        if func._schema.name in ("aten::_to_copy", "aten::copy_") and len({tensor.device.type for tensor in tensors}) > 1:
            self.found.append(f"{func} of {tuple(tensors[0].shape)}")
        return result


class Event:
    """What stands for ``torch.cuda.Event``."""

    def __init__(self, enable_timing: bool = False) -> None: ...

    def record(self) -> None: ...

    def synchronize(self) -> None: ...

    def elapsed_time(self, other: "Event") -> float:
        return 1.0


class Kept:
    """What stands for ``PendingStats``: the sums, which nobody reads."""

    def __init__(self, sums: Tensor | None = None) -> None:
        self.sums = sums


@contextmanager
def fake_gpus() -> Iterator[Transfers]:
    """Inside, ``cuda`` is there, but for what needs a driver. Yields the copies between devices."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "Event", Event)
        patch.setattr(torch.autograd, "backward", backward)
        patch.setattr(torch, "_fused_sgd_", _check_fused)
        patch.setattr(torch.random, "fork_rng", lambda *_, **__: nullcontext())
        patch.setattr(CapturedStep, "__call__", lambda self, *tensors: self._step(*tensors))
        patch.setattr(nn.Module, "to", lambda self, *_, **__: self)  # torch refuses to swap fake parameters
        for module in (single_process, pipeline):
            patch.setattr(module, "autocast", _autocast)
            patch.setattr(module, "PendingStats", Kept)
        with FakeTensorMode(allow_non_fake_inputs=True), Transfers() as transfers:
            yield transfers


def on_gpu(net: Network, device: torch.device) -> Network:
    """A net of the meta device, its parameters as a training has them on a GPU."""
    for module in net.modules():
        for name, parameter in module.named_parameters(recurse=False):
            layout = torch.channels_last if parameter.dim() == 4 else torch.contiguous_format
            there = torch.empty(parameter.shape, device=device).to(memory_format=layout)
            setattr(module, name, nn.Parameter(there))
    return net


def backward(tensors: Any, grad_tensors: Any = None, *_: Any, **__: Any) -> None:
    """What stands for ``torch.autograd.backward``, whose engine needs a GPU for them: in its order, latest nodes first."""
    roots: list[Tensor] = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    given = [None] * len(roots) if grad_tensors is None else [grad_tensors] if isinstance(grad_tensors, Tensor) else grad_tensors
    missing = _uses(roots)
    gradients: defaultdict[Node, dict[int, Tensor]] = defaultdict(dict)
    for root, gradient in zip(roots, given, strict=True):
        assert root.grad_fn is not None
        gradients[root.grad_fn][root.output_nr] = torch.ones_like(root) if gradient is None else gradient
    ready = [node for node in gradients if not missing[node]]
    with torch.no_grad():
        while ready:
            ready.sort(key=lambda node: node._sequence_nr())
            node = ready.pop()
            results = _called(node, gradients.pop(node, {}))
            # The last results may be of arguments without gradients.
            for (before, place), gradient in zip(node.next_functions, results, strict=False):
                if before is None:
                    continue
                missing[before] -= 1
                if gradient is not None:
                    had = gradients[before].get(place)
                    gradients[before][place] = gradient if had is None else had + gradient
                if not missing[before]:
                    ready.append(before)


def _uses(roots: Sequence[Tensor]) -> Counter[Node]:
    """How many nodes hand a gradient to each."""
    count: Counter[Node] = Counter()
    nodes, seen = [root.grad_fn for root in roots], set[Node]()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        count.update(before for before, _ in node.next_functions if before is not None)
        nodes += [before for before, _ in node.next_functions]
    return count


def _called(node: Node, gradients: dict[int, Tensor]) -> Sequence[Tensor | None]:
    """What a node makes of the gradients of its outputs."""
    if not gradients:
        return [None] * len(node.next_functions)
    if node.name().endswith("AccumulateGrad"):
        leaf, gradient = node.variable, gradients[0]  # type: ignore[attr-defined]
        assert (gradient.device, gradient.shape, gradient.dtype) == (leaf.device, leaf.shape, leaf.dtype)
        leaf.grad = gradient if leaf.grad is None else leaf.grad + gradient
        return []
    call: Any = node.apply if isinstance(node, torch.autograd.function.BackwardCFunction) else node
    results = call(*(gradients.get(place) for place in range(max(gradients) + 1)))
    return results if isinstance(results, tuple) else (results,)


@contextmanager
def _autocast(device: torch.device, precision: torch.dtype) -> Iterator[None]:
    """torch's own turns itself off where no GPU is."""
    kind, enabled = device.type, precision != torch.float32
    before = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
    torch.set_autocast_enabled(kind, enabled)
    torch.set_autocast_dtype(kind, precision if enabled else before[1])
    torch.autocast_increment_nesting()
    yield
    if torch.autocast_decrement_nesting() == 0:
        torch.clear_autocast_cache()
    torch.set_autocast_enabled(kind, before[0])
    torch.set_autocast_dtype(kind, before[1])


def _check_fused(parameters: Any, gradients: Any, velocities: Any, *_: Any, **__: Any) -> None:
    """Torch's fused optimiser takes tensors that are alike."""
    for parameter, gradient, velocity in zip(parameters, gradients, velocities, strict=True):
        for other in (gradient, parameter if velocity is None else velocity):
            assert other.device == parameter.device and other.dtype == parameter.dtype == torch.float32
            assert other.stride() == parameter.stride()


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
