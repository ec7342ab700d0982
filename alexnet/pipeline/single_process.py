"""The whole net in one process: what a pipeline must equal, and how one GPU or ``pipeline.ranks: 1`` trains."""

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
from alexnet.pipeline.timing import Timer


class SingleProcess(Engine):
    """The engine without other ranks: the same microbatches, in the same order."""

    takes_images = True

    def __init__(self, net: Network, settings: Training, device: torch.device) -> None:
        ends = ends_of_backward(net.weighted, settings.freeze)
        self.net = net.to(device).to(memory_format=torch.channels_last)
        self.device, self.microbatches = device, settings.pipeline.microbatches
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
        count, outputs = (labels != IGNORE).sum(), []
        parts = zip(*(tensor.chunk(self.microbatches) for tensor in (images, labels, rows)), strict=True)
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
        with autocast(self.device, self.precision):
            logits = torch.cat([self.net(images) for images in cast(Tensor, batch.images).chunk(self.microbatches)])
        return PendingStats(sums_of(logits, batch.labels))

    def full_state_dict(self) -> dict[str, Tensor]:
        return {name: parameter.detach().cpu().contiguous() for name, parameter in self.parameters().items()}
