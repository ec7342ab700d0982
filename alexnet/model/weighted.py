"""The layers that have weights, whose gradients may be formed apart from the backward pass.

The backward pass of a layer has two products: the gradient of its input, which the layer before waits for, and that of its
weights, which nobody needs before the optimiser's step. A pipeline wins time where the second waits ("zero bubble": Qi, Wan,
Huang, Lin 2023), and a fully connected layer where it is formed for all microbatches in one product.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Weighted(nn.Module, ABC):
    """A layer of torch's, which may leave its weights' gradient to ``WeightGradients``. Comes before torch's class."""

    later: "WeightGradients | None" = None
    once_a_batch = False
    """Whether the gradient is formed for all microbatches in one product."""

    def forward(self, input: Tensor) -> Tensor:
        if self.later is None or not torch.is_grad_enabled():
            return super().forward(input)  # type: ignore[no-any-return]
        output: Tensor = _Apart.apply(input, self.weight, self.bias, self)
        return output

    @abstractmethod
    def output(self, input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """What the layer computes, with its weights in any precision."""

    @abstractmethod
    def input_gradient(self, gradient: Tensor, input: Tensor, weight: Tensor) -> Tensor:
        """Of the input, which has its shape, from that of the output."""

    @abstractmethod
    def weight_gradients(self, gradient: Tensor, input: Tensor) -> tuple[Tensor, Tensor]:
        """Of the weight and of the bias, in their shapes."""


class Linear(Weighted, nn.Linear):
    """(N, inputs) in, (N, units) out.

    For each microbatch, the paper's 54 million gradients of fc6 and fc7 would be written and added up as often.
    """

    once_a_batch = True

    def output(self, input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.linear(input, weight, bias)

    def input_gradient(self, gradient: Tensor, input: Tensor, weight: Tensor) -> Tensor:
        return gradient @ weight

    def weight_gradients(self, gradient: Tensor, input: Tensor) -> tuple[Tensor, Tensor]:
        return gradient.T @ input, gradient.sum(0, dtype=self.bias.dtype)


class Conv2d(Weighted, nn.Conv2d):
    """Maps (N, C, H, W) in, (N, kernels, h, w) out."""

    def output(self, input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.conv2d(input, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def input_gradient(self, gradient: Tensor, input: Tensor, weight: Tensor) -> Tensor:
        return self._backward(gradient, input, weight, (True, False, False))[0]

    def weight_gradients(self, gradient: Tensor, input: Tensor) -> tuple[Tensor, Tensor]:
        shape = torch.empty_like(self.weight, dtype=input.dtype)
        _, weight, bias = self._backward(gradient, input, shape, (False, True, True))
        return weight, bias

    def _backward(
        self, gradient: Tensor, input: Tensor, weight: Tensor, wanted: tuple[bool, bool, bool]
    ) -> tuple[Tensor, Tensor, Tensor]:
        geometry = (self.stride, self.padding, self.dilation, False, (0, 0), self.groups)
        return torch.ops.aten.convolution_backward(gradient, input, weight, [self.out_channels], *geometry, wanted)  # type: ignore[no-any-return]


class _Apart(torch.autograd.Function):
    """A layer whose backward pass gives the gradient of its input alone."""

    @staticmethod
    def forward(ctx, input, weight, bias, layer):  # type: ignore[no-untyped-def]
        later = layer.later
        device = input.device.type
        precision = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else input.dtype
        input, weight = input.to(precision), later.cast(weight, precision)
        ctx.save_for_backward(input, weight)
        ctx.layer = layer
        return layer.output(input, weight, later.cast(bias, precision))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        input, weight = ctx.saved_tensors
        ctx.layer.later.note(ctx.layer, input, gradient)
        before = ctx.layer.input_gradient(gradient, input, weight) if ctx.needs_input_grad[0] else None
        return before, None, None, None


class WeightGradients:
    """Forms the gradients of the weights and biases of ``net``, in the same order whenever it is done.

    A convolution's are added up microbatch by microbatch, a fully connected layer's are formed by ``form``.
    """

    def __init__(self, net: nn.Module) -> None:
        self._running: list[tuple[Weighted, Tensor, Tensor]] = []
        self._whole: dict[Weighted, list[tuple[Tensor, Tensor]]] = {}
        self._casts: dict[Tensor, Tensor] = {}
        for layer in net.modules():
            if isinstance(layer, Weighted):
                layer.later = self

    def cast(self, parameter: Tensor, precision: torch.dtype) -> Tensor:
        """The parameter in the precision of the computation, cast once a batch."""
        if parameter.dtype == precision:
            return parameter
        if parameter not in self._casts:
            self._casts[parameter] = parameter.to(precision)
        return self._casts[parameter]

    def note(self, layer: Weighted, input: Tensor, gradient: Tensor) -> None:
        """Keep what the backward pass of ``layer`` left."""
        self._running.append((layer, input, gradient))

    def microbatch(self) -> Callable[[], None]:
        """To be called after the backward pass of each microbatch. What it gives forms the gradients, and is called later."""
        part, self._running = self._running, []
        return lambda: self._form(part)

    @torch.no_grad()
    def form(self) -> None:
        """Form what is once a batch. The optimiser's step may follow."""
        for layer, parts in self._whole.items():
            inputs, gradients = zip(*parts, strict=True)
            _add(layer, *layer.weight_gradients(torch.cat(gradients), torch.cat(inputs)))
        self._whole.clear()
        self._casts.clear()

    @torch.no_grad()
    def _form(self, part: list[tuple[Weighted, Tensor, Tensor]]) -> None:
        for layer, input, gradient in part:
            if layer.once_a_batch:
                self._whole.setdefault(layer, []).append((input, gradient))
            else:
                _add(layer, *layer.weight_gradients(gradient, input))


@torch.no_grad()
def _add(layer: Weighted, weight: Tensor, bias: Tensor) -> None:
    for parameter, gradient in zip(layer.parameters(), (weight, bias), strict=True):
        if parameter.grad is None:
            parameter.grad = torch.empty_like(parameter).copy_(gradient)
        else:
            parameter.grad += gradient
