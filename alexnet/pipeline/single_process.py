"""The whole net in one process: what a pipeline must equal, and how one GPU or ``pipeline.ranks: 1`` trains."""

from collections.abc import Iterator
from functools import reduce
from typing import cast

import torch
from torch import Tensor, nn

from alexnet.config.training import Training
from alexnet.input.loader import IGNORE, Batch
from alexnet.models.network import Network
from alexnet.models.numerics import PRECISIONS, autocast
from alexnet.pipeline.captured import CapturedStep
from alexnet.pipeline.deferred import ends_of_backward
from alexnet.pipeline.deferred_layers import defer
from alexnet.pipeline.engine import Engine, PendingStats, loss_share, sums_of
from alexnet.pipeline.replicas import Replica
from alexnet.pipeline.timing import Timer


class SingleProcess(Engine):
    """The engine of a process that has the whole net: the same microbatches, in the same order.

    If there are several replicas, it is one of them, or without other processes all, one after the other.
    """

    takes_images = True

    def __init__(self, net: Network, settings: Training, device: torch.device, replica: Replica | None = None) -> None:
        ends = ends_of_backward(net.weighted, settings.freeze)
        self.net = net.to(device).to(memory_format=torch.channels_last)
        self.device, self.microbatches = device, settings.pipeline.microbatches
        self.replica, self.shares = replica, 1 if replica else settings.pipeline.replicas
        self.own = replica.share(settings.batch_size) if replica else slice(settings.batch_size)
        self.precision = PRECISIONS[settings.precision]
        self.deferred = {0: defer(self.net, settings.freeze, ends)}
        self.timer = Timer(device)
        self._captured = CapturedStep(self._whole_step, self.net.parameters())

    def parameters(self) -> dict[str, nn.Parameter]:
        return dict(self.net.named_parameters())

    def forward_backward(self, batch: Batch) -> PendingStats:
        self.net.train()
        tensors = cast(Tensor, batch.images), batch.labels, batch.rows
        if self.device.type != "cuda":
            return PendingStats(self._step(*tensors))
        with self.timer.span("step", 0), self.timer.paused():
            return PendingStats(self._captured(*tensors))

    def _step(self, images: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        count = (labels != IGNORE).sum()
        sums, gradients = [], dict[nn.Parameter, Tensor]()
        for part, targets, numbers in _chunks(self.shares, images, labels[self.own], rows[self.own]):
            sums.append(self._accumulate(part, targets, numbers, count))
            if self.shares > 1:
                self._move_gradients(gradients)
        for parameter, gradient in gradients.items():
            parameter.grad = gradient
        return reduce(torch.add, sums)

    def _move_gradients(self, total: dict[nn.Parameter, Tensor]) -> None:
        """Add the gradients of a share to ``total``."""
        with self.timer.span("weights", 0):
            self.deferred[0].compute()
        for parameter in self.net.parameters():
            if parameter.grad is not None:
                total[parameter] = total[parameter].add_(parameter.grad) if parameter in total else parameter.grad
                parameter.grad = None

    def _accumulate(self, images: Tensor, labels: Tensor, rows: Tensor, count: Tensor) -> Tensor:
        """Run the microbatches of a share of a batch with ``count`` real rows."""
        parts, outputs = _chunks(self.microbatches, images, labels, rows), []
        with autocast(self.device, self.precision):
            for index, (part, targets, numbers) in enumerate(parts):
                with self.timer.span("forward", 0, index):
                    logits = self.net(part, numbers)
                    loss = loss_share(logits, targets, count)
                with self.timer.span("backward", 0, index):
                    loss.backward()  # type: ignore[no-untyped-call]
                    self.deferred[0].take_microbatch()()
                outputs.append(logits.detach())
        return sums_of(torch.cat(outputs), labels)

    def _whole_step(self, images: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        sums = self._step(images, labels, rows)
        self.deferred[0].compute()
        return sums

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> PendingStats:
        self.net.eval()
        sums = []
        for images, labels in _chunks(self.shares, cast(Tensor, batch.images), batch.labels[self.own]):
            with autocast(self.device, self.precision):
                logits = torch.cat([self.net(part) for part in images.chunk(self.microbatches)])
            sums.append(sums_of(logits, labels))
        return PendingStats(reduce(torch.add, sums))

    def full_state_dict(self) -> dict[str, Tensor]:
        return {name: parameter.detach().cpu().contiguous() for name, parameter in self.parameters().items()}


def _chunks(count: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Parts of equal size of each."""
    return zip(*(tensor.chunk(count) for tensor in tensors), strict=True)
