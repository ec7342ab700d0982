"""GPUs that compute nothing: torch's fake tensors on ``cuda``, which have shapes, types, layouts and devices alone.

They show tensors on the wrong device, boundary tensors of the wrong layout and copies from the host, without a GPU. Streams,
hangs and NCCL are beyond them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import Node
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
