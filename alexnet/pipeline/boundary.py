"""A stage of the pipeline, and the boundary tensors that cross between stages."""

from typing import cast

import torch
from torch import Tensor, nn

from alexnet.models.network import Network, dry_run
from alexnet.pipeline.distributed import Ranks


class Stage(nn.Module):
    """A slice of the net between two boundaries.

    Inside, maps are channels last, the layout convolutions prefer; at a boundary, tensors and gradients must be contiguous.
    What crosses is a copy, never a view, as zero-bubble schedules detach it in place.
    """

    def __init__(self, layers: Network, first: bool, last: bool, ranks: Ranks) -> None:
        super().__init__()
        self.layers, self.first, self.last = layers.to(memory_format=torch.channels_last), first, last
        self.device, self.boundary = ranks.device, ranks.boundary
        self.to(self.device)

    def forward(self, input: Tensor, rows: Tensor | None = None) -> Tensor:
        output: Tensor = self.layers(input if self.first else _Enter.apply(input, self.device), rows)
        return output if self.last else cast(Tensor, _Leave.apply(output, self.boundary))


class _Enter(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor, device):  # type: ignore[no-untyped-def]
        ctx.boundary = tensor.device
        return tensor.to(device, memory_format=_inside(tensor), copy=True)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        return gradient.to(ctx.boundary).contiguous(), None


class _Leave(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor, boundary):  # type: ignore[no-untyped-def]
        ctx.device = tensor.device
        return tensor.to(boundary, memory_format=torch.contiguous_format, copy=True)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        return gradient.to(ctx.device).contiguous(memory_format=_inside(gradient)), None


def _inside(tensor: Tensor) -> torch.memory_format:
    return torch.channels_last if tensor.dim() == 4 else torch.contiguous_format


def boundary_tensors(slices: list[Network], rows: int, side: int, precision: torch.dtype) -> list[Tensor]:
    """What crosses into, between and out of the stages, as empty tensors of a microbatch's shape."""
    images = torch.empty(rows, 3, side, side, device="meta").to(memory_format=torch.channels_last)
    tensors = [images]
    for part in slices:
        tensors.append(dry_run(part, tensors[-1]))
    return [images, *(tensor.to(precision).contiguous() for tensor in tensors[1:])]
