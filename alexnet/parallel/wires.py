"""What a stage of the pipeline is to the stages around it, and what crosses between them."""

from typing import cast

import torch
from torch import Tensor, nn

from alexnet.model.network import Network, dry_run


class Stage(nn.Module):
    """A slice of the net between two wires.

    Inside, maps lie channels last, which convolutions like best; on a wire, tensors and gradients must be contiguous. What
    crosses is a copy, never a view, as zero-bubble schedules detach it in place.
    """

    def __init__(self, layers: Network, first: bool, last: bool) -> None:
        super().__init__()
        self.layers, self.first, self.last = layers.to(memory_format=torch.channels_last), first, last

    def forward(self, input: Tensor, rows: Tensor | None = None) -> Tensor:
        output: Tensor = self.layers(input if self.first else _FromWire.apply(input), rows)
        return output if self.last else cast(Tensor, _ToWire.apply(output))


class _FromWire(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor):  # type: ignore[no-untyped-def]
        return tensor.clone(memory_format=_inside(tensor))

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        return gradient.contiguous()


class _ToWire(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor):  # type: ignore[no-untyped-def]
        return tensor.clone(memory_format=torch.contiguous_format)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        return gradient.contiguous(memory_format=_inside(gradient))


def _inside(tensor: Tensor) -> torch.memory_format:
    return torch.channels_last if tensor.dim() == 4 else torch.contiguous_format


def wires_of(pieces: list[Network], rows: int, size: int, precision: torch.dtype) -> list[Tensor]:
    """What crosses into, between and out of the stages, as empty tensors of a microbatch's shape."""
    images = torch.empty(rows, 3, size, size, device="meta").to(memory_format=torch.channels_last)
    wires = [images]
    for piece in pieces:
        wires.append(dry_run(piece, wires[-1]))
    return [images, *(wire.to(precision).contiguous() for wire in wires[1:])]
