"""Layers whose weight gradients can be computed after the backward pass.

The backward pass of a layer has two products: the gradient of its input, which the layer before waits for, and that of its
weights, which nobody needs before the optimiser's step. A pipeline gains time if the second waits ("zero bubble": Qi, Wan,
Huang, Lin 2023), and a fully connected layer if it is computed for all microbatches in one product.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.models import local
from alexnet.models.local import LocallyConnected2d
from alexnet.models.network import WEIGHTED


class DeferredLayer(nn.Module, ABC):
    """A layer of torch's, with its parameters, that leaves their gradients to ``DeferredGradients``."""

    frozen = False
    """Whether the weights stay as they are, so that they need no gradients."""
    ends_backward = False
    """Whether no layer before this one learns, so that its input needs no gradient."""

    def __init__(self, layer: WEIGHTED, gradients: "DeferredGradients") -> None:
        super().__init__()
        self.weight, self.bias, self.gradients = layer.weight, cast(nn.Parameter, layer.bias), gradients

    def forward(self, input: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return self.output(input, self.weight, self.bias)
        return cast(Tensor, _InputGradientOnly.apply(input, self.weight, self.bias, self))

    @abstractmethod
    def output(self, input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """What the layer computes, with its weights in any precision."""

    @abstractmethod
    def input_gradient(self, gradient: Tensor, input: Tensor, weight: Tensor) -> Tensor:
        """Of the input, in its shape, from that of the output."""

    @abstractmethod
    def weight_gradients(self, gradient: Tensor, input: Tensor) -> tuple[Tensor, Tensor]:
        """Of the weight and of the bias, in their shapes."""


class DeferredLinear(DeferredLayer):
    """(N, inputs) in, (N, units) out.

    Its gradients are computed once per batch: the paper's 54 million of fc6 and fc7 take long to write and add up.
    """

    def output(self, input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.linear(input, weight, bias)

    def input_gradient(self, gradient: Tensor, input: Tensor, weight: Tensor) -> Tensor:
        return gradient @ weight

    def weight_gradients(self, gradient: Tensor, input: Tensor) -> tuple[Tensor, Tensor]:
        return gradient.T @ input, gradient.sum(0, dtype=self.bias.dtype)


class DeferredConv2d(DeferredLayer):
    """Maps (N, C, H, W) in, (N, kernels, h, w) out."""

    def __init__(self, layer: nn.Conv2d, gradients: "DeferredGradients") -> None:
        super().__init__(layer, gradients)
        self.stride, self.padding, self.dilation, self.groups = layer.stride, layer.padding, layer.dilation, layer.groups

    def output(self, input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.conv2d(input, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def input_gradient(self, gradient: Tensor, input: Tensor, weight: Tensor) -> Tensor:
        return self._backward(gradient, input, weight, (True, False, False))[0]

    def weight_gradients(self, gradient: Tensor, input: Tensor) -> tuple[Tensor, Tensor]:
        shape = torch.empty_like(self.weight, dtype=input.dtype)
        _, weight, bias = self._backward(gradient, input, shape, (False, True, True))
        return weight, bias

    def _backward(self, gradient: Tensor, input: Tensor, weight: Tensor, wanted: tuple[bool, ...]) -> tuple[Tensor, ...]:
        geometry = (self.stride, self.padding, self.dilation, False, (0, 0), self.groups)
        return torch.ops.aten.convolution_backward(gradient, input, weight, [len(self.bias)], *geometry, wanted)  # type: ignore[no-any-return]


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


class _InputGradientOnly(torch.autograd.Function):
    """A layer whose backward pass computes the gradient of its input alone."""

    @staticmethod
    def forward(ctx, input, weight, bias, layer):  # type: ignore[no-untyped-def]
        gradients, device = layer.gradients, input.device.type
        precision = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else input.dtype
        input, weight = input.to(precision), gradients.cast(weight, precision)
        ctx.save_for_backward(input, weight)
        ctx.layer = layer
        ctx.set_materialize_grads(False)  # None before the first layer that learns
        return layer.output(input, weight, gradients.cast(bias, precision))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        input, weight = ctx.saved_tensors
        if gradient is None:
            return None, None, None, None
        if not ctx.layer.frozen:
            ctx.layer.gradients.note(ctx.layer, input, gradient)
        needed = ctx.needs_input_grad[0] and not ctx.layer.ends_backward
        before = ctx.layer.input_gradient(gradient, input, weight) if needed else None
        return before, None, None, None


class DeferredGradients:
    """Computes the gradients of a net's weights and biases, always in the same order.

    A convolution's are added up microbatch by microbatch, a fully connected layer's by ``compute``.
    """

    def __init__(self) -> None:
        self._running: list[tuple[DeferredLayer, Tensor, Tensor]] = []
        self._whole: dict[DeferredLayer, list[tuple[Tensor, Tensor]]] = {}
        self._casts: dict[Tensor, Tensor] = {}

    def cast(self, parameter: Tensor, precision: torch.dtype) -> Tensor:
        """The parameter in the precision of the computation, cast once per batch."""
        if parameter.dtype == precision:
            return parameter
        if parameter not in self._casts:
            self._casts[parameter] = parameter.to(precision)
        return self._casts[parameter]

    def note(self, layer: DeferredLayer, input: Tensor, gradient: Tensor) -> None:
        """Keep what the backward pass of ``layer`` left."""
        self._running.append((layer, input, gradient))

    def take_microbatch(self) -> Callable[[], None]:
        """Call it after the backward pass of each microbatch; it returns a function that computes its gradients later."""
        part, self._running = self._running, []
        return lambda: self._compute(part)

    @torch.no_grad()
    def compute(self) -> None:
        """Compute the gradients that are computed once per batch. The optimiser's step may follow."""
        for layer, parts in self._whole.items():
            inputs, gradients = zip(*parts, strict=True)
            _add(layer, *layer.weight_gradients(torch.cat(gradients), torch.cat(inputs)))
        self._whole.clear()
        self._casts.clear()

    @torch.no_grad()
    def _compute(self, part: list[tuple[DeferredLayer, Tensor, Tensor]]) -> None:
        for layer, input, gradient in part:
            if isinstance(layer, DeferredLinear):
                self._whole.setdefault(layer, []).append((input, gradient))
            else:
                _add(layer, *layer.weight_gradients(gradient, input))


def defer(net: nn.Sequential, frozen: Collection[str] = (), ends: Collection[str] = ()) -> DeferredGradients:
    """Replace, in place, each layer of ``net`` with weights by one with deferred gradients.

    ``frozen``: layers that do not learn; ``ends``: those at which the backward pass ends (``ends_of_backward``).
    """
    gradients = DeferredGradients()
    for name, layer in list(net.named_children()):
        if isinstance(layer, WEIGHTED):
            deferred = DEFERRED[type(layer)](layer, gradients)
            deferred.frozen, deferred.ends_backward = name in frozen, name in ends
            setattr(net, name, deferred)
    return gradients


def ends_of_backward(layers: Sequence[str], frozen: Collection[str]) -> Sequence[str]:
    """Of a net's ``layers`` with weights, in order: the first that learns, and those before it."""
    learning = [index for index, name in enumerate(layers) if name not in frozen]
    return layers[: min(learning, default=len(layers)) + 1]


def _add(layer: DeferredLayer, weight: Tensor, bias: Tensor) -> None:
    for parameter, gradient in ((layer.weight, weight), (layer.bias, bias)):
        if parameter.grad is None:
            parameter.grad = torch.empty_like(parameter).copy_(gradient)
        else:
            parameter.grad += gradient
