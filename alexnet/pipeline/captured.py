"""A step's kernels as one CUDA graph: launching some hundred of them one by one takes a GPU's host longer than they run."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

Step = Callable[[Tensor, Tensor, Tensor], Tensor]


class CapturedStep:
    """Calls ``step`` the first time, captures it the second, and from then on replays what it did, to the same bits.

    ``step`` takes images, labels and rows in the same shapes each time, leaves gradients in ``parameters`` that have none before,
    and returns sums. It must not wait for the GPU. What a replay returns, and the gradients, are overwritten by the next.
    """

    def __init__(self, step: Step, parameters: Iterable[nn.Parameter]) -> None:
        self._step, self._parameters = step, list(parameters)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._warm = False

    def __call__(self, images: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        """The sums of a batch; its gradients are in the parameters."""
        if not self._warm:  # the kernels are loaded, and the libraries get their memory
            self._warm = True
            return self._step(images, labels, rows)
        if self._graph is None:
            self._capture(images, labels, rows)
        assert self._graph is not None
        for held, given in zip(self._inputs, (images, labels, rows), strict=True):
            held.copy_(given)
        self._graph.replay()
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        return self._sums

    def _capture(self, *inputs: Tensor) -> None:
        self._inputs = [torch.empty_like(tensor) for tensor in inputs]
        self._graph = torch.cuda.CUDAGraph()
        # thread_local: the loader's threads go on.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._sums = self._step(*self._inputs)
        self._gradients = [parameter.grad for parameter in self._parameters]
