"""The whole net in one process: what a pipeline must equal, and how one GPU or ``pipeline.ranks: 1`` trains."""

from typing import cast

import torch
from torch import Tensor, nn

from alexnet.config.training import Training
from alexnet.input.loader import IGNORE, Batch
from alexnet.models.network import Network
from alexnet.models.numerics import PRECISIONS, autocast
from alexnet.pipeline.deferred import defer, ends_of_backward
from alexnet.pipeline.engine import Engine, StepStats, loss_share
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

    def parameters(self) -> dict[str, nn.Parameter]:
        return dict(self.net.named_parameters())

    def forward_backward(self, batch: Batch) -> StepStats:
        self.net.train()
        count, outputs = (batch.labels != IGNORE).sum(), []
        parts = (tensor.chunk(self.microbatches) for tensor in (cast(Tensor, batch.images), batch.labels, batch.rows))
        with autocast(self.device, self.precision):
            for index, (images, labels, rows) in enumerate(zip(*parts, strict=True)):
                with self.timer.span("forward", 0, index):
                    logits = self.net(images, rows)
                    loss = loss_share(logits, labels, count)
                with self.timer.span("backward", 0, index):
                    loss.backward()  # type: ignore[no-untyped-call]
                    self.deferred[0].take_microbatch()()
                outputs.append(logits.detach())
        return StepStats.of(torch.cat(outputs), batch.labels)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> StepStats:
        self.net.eval()
        with autocast(self.device, self.precision):
            logits = torch.cat([self.net(images) for images in cast(Tensor, batch.images).chunk(self.microbatches)])
        return StepStats.of(logits, batch.labels)

    def full_state_dict(self) -> dict[str, Tensor]:
        return {name: parameter.detach().cpu().contiguous() for name, parameter in self.parameters().items()}
