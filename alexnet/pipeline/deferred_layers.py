"""The layers with deferred gradients, and what replaces which layer of a net on which device."""

from collections.abc import Collection
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.models import local
from alexnet.models.local import LocallyConnected2d
from alexnet.models.network import WEIGHTED
from alexnet.pipeline.deferred import DeferredGradients, DeferredLayer


class DeferredLinear(DeferredLayer):
    """(N, inputs) in, (N, units) out.

    Its gradients are computed once per batch: the paper's 54 million of fc6 and fc7 take long to write and add up.
    """

    once_per_batch = True

    def output(self, input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.linear(input, weight, bias)

    def input_gradient(self, gradient: Tensor, input: Tensor, weight: Tensor) -> Tensor:
        return gradient @ weight

    def weight_gradients(self, gradient: Tensor, input: Tensor) -> tuple[Tensor, Tensor]:
        return gradient.T @ input, gradient.sum(0, dtype=self.bias.dtype)


class DeferredConv2d(DeferredLayer):
    """Maps (N, C, H, W) in, (N, kernels, h, w) out."""

    def __init__(self, layer: nn.Conv2d, gradients: DeferredGradients) -> None:
        super().__init__(layer, gradients)
        self.stride, self.padding, self.groups = layer.stride, cast(tuple[int, int], layer.padding), layer.groups

    def output(self, input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.conv2d(input, weight, bias, self.stride, self.padding, 1, self.groups)

    def input_gradient(self, gradient: Tensor, input: Tensor, weight: Tensor) -> Tensor:
        return self.backward(gradient, input, weight, (True, False, False))[0]

    def weight_gradients(self, gradient: Tensor, input: Tensor) -> tuple[Tensor, Tensor]:
        shape = torch.empty_like(self.weight, dtype=input.dtype)
        _, weight, bias = self.backward(gradient, input, shape, (False, True, True))
        return weight, bias

    def backward(self, gradient: Tensor, input: Tensor, weight: Tensor, wanted: tuple[bool, ...]) -> tuple[Tensor, ...]:
        """torch's gradients of input, weight and bias, those of them that are ``wanted``."""
        geometry = (self.stride, self.padding, (1, 1), False, (0, 0), self.groups)
        return torch.ops.aten.convolution_backward(gradient, input, weight, [len(self.bias)], *geometry, wanted)  # type: ignore[no-any-return]


class UngroupedConv2d(DeferredConv2d):
    """The same as one group, with zeros for the weights that towers do not have: a GPU's kernels for groups take longer."""

    def __init__(self, layer: nn.Conv2d, gradients: DeferredGradients) -> None:
        super().__init__(layer, gradients)
        self.towers, self.groups = self.groups, 1

    def prepared(self, input: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        kernels, channels = len(weight) // self.towers, weight.shape[1]
        whole = weight.new_zeros(len(weight), self.towers * channels, *weight.shape[2:])
        for tower in range(self.towers):
            rows, columns = slice(tower * kernels, (tower + 1) * kernels), slice(tower * channels, (tower + 1) * channels)
            whole[rows, columns] = weight[rows]
        return input, whole.to(memory_format=torch.channels_last)

    def weight_gradients(self, gradient: Tensor, input: Tensor) -> tuple[Tensor, Tensor]:
        kernels, channels = len(self.weight) // self.towers, self.weight.shape[1]
        shape = input.new_empty(len(self.weight), *input.shape[1:2], *self.weight.shape[2:])
        _, whole, bias = self.backward(gradient, input, shape.to(memory_format=torch.channels_last), (False, True, True))
        by_tower = whole.reshape(self.towers, kernels, self.towers, channels, *whole.shape[2:])
        return torch.cat([by_tower[tower, :, tower] for tower in range(self.towers)]), bias


class BlockConv2d(DeferredConv2d):
    """A convolution of images with a stride over blocks of stride x stride pixels, whose values are its channels, without one.

    A GPU's matrix units are mostly idle over three channels. Its input needs no gradient.
    """

    def prepared(self, input: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        outputs = (input.shape[-1] + 2 * self.padding[0] - weight.shape[-1]) // self.stride[0] + 1
        side = (outputs - 1) * self.stride[0] + self._padded(weight)
        after = side - self.padding[0] - input.shape[-1]
        return self._blocks(F.pad(input, 2 * (self.padding[0], after))), self._kernels(weight)

    def output(self, input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.conv2d(input, weight, bias)

    def input_gradient(self, gradient: Tensor, input: Tensor, weight: Tensor) -> Tensor:
        raise NotImplementedError("images need no gradients")

    def weight_gradients(self, gradient: Tensor, input: Tensor) -> tuple[Tensor, Tensor]:
        side, stride, blocks = self.weight.shape[-1], self.stride[0], self._padded(self.weight) // self.stride[0]
        shape = input.new_empty(len(self.weight), input.shape[1], blocks, blocks).to(memory_format=torch.channels_last)
        geometry = ((1, 1), (0, 0), (1, 1), False, (0, 0), 1)
        _, weight, bias = torch.ops.aten.convolution_backward(
            gradient, input, shape, [len(self.bias)], *geometry, (False, True, True)
        )
        weight = weight.permute(0, 2, 3, 1).reshape(-1, blocks, blocks, stride, stride, self.weight.shape[1])
        weight = weight.permute(0, 5, 1, 3, 2, 4).reshape(*self.weight.shape[:2], blocks * stride, blocks * stride)
        return weight[:, :, :side, :side], bias

    def _padded(self, weight: Tensor) -> int:
        """The side of the kernels, filled up to a multiple of the stride."""
        return -(-weight.shape[-1] // self.stride[0]) * self.stride[0]

    def _kernels(self, weight: Tensor) -> Tensor:
        missing = self._padded(weight) - weight.shape[-1]
        return self._blocks(F.pad(weight, (0, missing, 0, missing)))

    def _blocks(self, maps: Tensor) -> Tensor:
        """Maps (N, C, H, W) as (N, stride · stride · C, H / stride, W / stride), channels last."""
        stride = self.stride[0]
        number, channels, height, width = maps.shape
        blocks = maps.permute(0, 2, 3, 1).reshape(number, height // stride, stride, width // stride, stride, channels)
        return blocks.transpose(2, 3).flatten(3).permute(0, 3, 1, 2)


class DeferredLocal(DeferredLayer):
    """Maps (N, C, H, W) in, (N, kernels, H, W) out."""

    def output(self, input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return local.locally_connected(input, weight, bias)

    def input_gradient(self, gradient: Tensor, input: Tensor, weight: Tensor) -> Tensor:
        return local.input_gradient(gradient, weight)

    def weight_gradients(self, gradient: Tensor, input: Tensor) -> tuple[Tensor, Tensor]:
        return local.weight_gradients(gradient, input, self.weight)


DEFERRED: dict[type[nn.Module], type[DeferredLayer]] = {
    nn.Conv2d: DeferredConv2d,
    nn.Linear: DeferredLinear,
    LocallyConnected2d: DeferredLocal,
}
"""By what they replace."""


def defer(net: nn.Sequential, frozen: Collection[str] = (), ends: Collection[str] = ()) -> DeferredGradients:
    """Replace, in place, each layer of ``net`` with weights by one with deferred gradients.

    ``frozen``: layers that do not learn; ``ends``: those at which the backward pass ends (``ends_of_backward``).
    """
    gradients = DeferredGradients()
    for name, layer in list(net.named_children()):
        if isinstance(layer, WEIGHTED):
            deferred = _kind(layer, name in ends)(layer, gradients)
            deferred.frozen, deferred.ends_backward = name in frozen, name in ends
            setattr(net, name, deferred)
    return gradients


def _kind(layer: nn.Module, ends_backward: bool) -> type[DeferredLayer]:
    if isinstance(layer, nn.Conv2d) and layer.weight.is_cuda:
        if layer.groups > 1:
            return UngroupedConv2d
        if layer.stride[0] > 1 and ends_backward:
            return BlockConv2d
    return DEFERRED[type(layer)]
