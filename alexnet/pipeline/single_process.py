"""The whole net in one process: what a pipeline must equal, and how one GPU or ``pipeline.ranks: 1`` trains."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from alexnet.config.training import Training
from alexnet.input.loader import Batch
from alexnet.models.network import Network
from alexnet.models.numerics import PRECISIONS, autocast
from alexnet.pipeline.deferred import defer
from alexnet.pipeline.engine import StepStats, loss_function
from alexnet.pipeline.timing import Timer


class SingleProcess:
    """An ``Engine`` without other ranks: the same microbatches, in the same order."""

    takes_images = True

    def __init__(self, net: Network, settings: Training, device: torch.device) -> None:
        self.net = net.to(device).to(memory_format=torch.channels_last)
        self.device, self.microbatches = device, settings.pipeline.microbatches
        self.precision = PRECISIONS[settings.precision]
        self.deferred = defer(self.net)
        self.timer = Timer(device)

    def parameters(self) -> dict[str, nn.Parameter]:
        return dict(self.net.named_parameters())

    def forward_backward(self, batch: Batch) -> StepStats:
        self.net.train()
        loss_of, outputs = loss_function(batch.labels), []
        parts = (tensor.chunk(self.microbatches) for tensor in (cast(Tensor, batch.images), batch.labels, batch.rows))
        with autocast(self.device, self.precision):
            for index, (images, labels, rows) in enumerate(zip(*parts, strict=True)):
                with self.timer.span("forward", 0, index):
                    logits = self.net(images, rows)
                    loss = loss_of(logits, labels)
                with self.timer.span("backward", 0, index):
                    loss.backward()  # type: ignore[no-untyped-call]
                    self.deferred.take_microbatch()()
                outputs.append(logits.detach())
        return StepStats.of(torch.cat(outputs), batch.labels)

    def update(self, optimizer: Optimizer) -> None:
        with self.timer.span("weights", 0):
            self.deferred.compute()
        with self.timer.span("update"):
            optimizer.step()
            optimizer.zero_grad()

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> StepStats:
        self.net.eval()
        with autocast(self.device, self.precision):
            logits = torch.cat([self.net(images) for images in cast(Tensor, batch.images).chunk(self.microbatches)])
        return StepStats.of(logits, batch.labels)

    def full_state_dict(self) -> dict[str, Tensor]:
        return {name: parameter.detach().cpu().contiguous() for name, parameter in self.parameters().items()}
