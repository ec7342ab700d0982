"""A locally connected layer: a convolution whose kernels are not shared, so each place of the maps has its own."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LocallyConnected2d(nn.Module):
    """Maps (N, ``inputs``, H, W) in, (N, ``kernels``, H, W) out, from square kernels of an odd ``side``, padded with zeros.

    ``size``: (H, W). ``weight``: (H, W, kernels, inputs, side, side), so ``weight[y, x]`` is what a convolution would have
    everywhere; ``bias``: (H, W, kernels). Source: cuda-convnet's layers of type ``local``.
    """

    def __init__(self, inputs: int, kernels: int, side: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(*size, kernels, inputs, side, side))
        self.bias = nn.Parameter(torch.empty(*size, kernels))

    def forward(self, input: Tensor) -> Tensor:
        return locally_connected(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        height, width, kernels, inputs, side, _ = self.weight.shape
        return f"{inputs}, {kernels}, side={side}, size=({height}, {width})"


def locally_connected(input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """What ``LocallyConnected2d`` computes: one product of matrices for each place, of all images."""
    products = torch.baddbmm(bias.flatten(0, 1)[:, None], patches(input, weight), matrices(weight).mT)
    return as_maps(products.view(*input.shape[2:], *products.shape[1:]))


def input_gradient(gradient: Tensor, weight: Tensor) -> Tensor:
    """Of maps (N, inputs, H, W), from that of what comes out, (N, kernels, H, W)."""
    height, width, _, inputs, side, _ = weight.shape
    seen = (by_place(gradient) @ matrices(weight)).view(height, width, len(gradient), -1)
    padded = seen.new_zeros(height + side - 1, width + side - 1, len(gradient), inputs)
    for part, (y, x) in zip(torch.split(seen, inputs, dim=3), offsets(side), strict=True):
        padded[y : y + height, x : x + width] += part
    return as_maps(padded[side // 2 :, side // 2 :][:height, :width])


def weight_gradients(gradient: Tensor, input: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Of the weight and of the bias, in their shapes, from the gradient of what comes out and the maps that went in."""
    height, width, kernels, inputs, side, _ = weight.shape
    products = (by_place(gradient).mT @ patches(input, weight)).view(height, width, kernels, side, side, inputs)
    bias = gradient.sum(0, dtype=weight.dtype).permute(1, 2, 0)
    return products.permute(0, 1, 2, 5, 3, 4).contiguous(), bias


def patches(input: Tensor, weight: Tensor) -> Tensor:
    """What the kernels of each place see of maps (N, inputs, H, W): (H · W, N, side² · inputs).

    In this order, which is that of channels-last maps, memory is copied in long runs.
    """
    height, width, side = *input.shape[2:], weight.shape[-1]
    around = side // 2
    padded = F.pad(input.permute(2, 3, 0, 1), (0, 0, 0, 0, around, around, around, around))
    return torch.cat([padded[y : y + height, x : x + width] for y, x in offsets(side)], dim=3).flatten(0, 1)


def offsets(side: int) -> list[tuple[int, int]]:
    """The pixels (y, x) of a kernel, in the order of patches and matrices."""
    return [(y, x) for y in range(side) for x in range(side)]


def matrices(weight: Tensor) -> Tensor:
    """A weight as (H · W, kernels, side² · inputs)."""
    return weight.permute(0, 1, 2, 4, 5, 3).flatten(3).flatten(0, 1)


def by_place(maps: Tensor) -> Tensor:
    """Maps (N, kernels, H, W) as (H · W, N, kernels)."""
    return maps.permute(2, 3, 0, 1).flatten(0, 1)


def as_maps(places: Tensor) -> Tensor:
    """(H, W, N, C) as maps (N, C, H, W), channels last in memory."""
    return places.permute(2, 3, 0, 1).contiguous(memory_format=torch.channels_last)
