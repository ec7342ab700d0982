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
    maps = products.permute(1, 2, 0).reshape(input.shape[0], bias.shape[2], *input.shape[2:])
    return maps.contiguous(memory_format=torch.channels_last)


def input_gradient(gradient: Tensor, weight: Tensor) -> Tensor:
    """Of maps (N, inputs, H, W), from that of what comes out, (N, kernels, H, W)."""
    side = weight.shape[-1]
    seen = by_place(gradient) @ matrices(weight)
    return F.fold(seen.permute(1, 2, 0), gradient.shape[2:], side, padding=side // 2)


def weight_gradients(gradient: Tensor, input: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Of the weight and of the bias, in their shapes, from the gradient of what comes out and the maps that went in."""
    bias = gradient.sum(0, dtype=weight.dtype).permute(1, 2, 0)
    return (by_place(gradient).mT @ patches(input, weight)).view_as(weight), bias


def patches(input: Tensor, weight: Tensor) -> Tensor:
    """What the kernels of each place see of maps (N, inputs, H, W): (H · W, N, inputs · side²)."""
    side = weight.shape[-1]
    return F.unfold(input, side, padding=side // 2).permute(2, 0, 1)


def matrices(weight: Tensor) -> Tensor:
    """A weight as (H · W, kernels, inputs · side²)."""
    return weight.flatten(3).flatten(0, 1)


def by_place(maps: Tensor) -> Tensor:
    """Maps (N, kernels, H, W) as (H · W, N, kernels)."""
    return maps.flatten(2).permute(2, 0, 1)
