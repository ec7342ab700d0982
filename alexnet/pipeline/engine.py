"""What the training asks of an engine, whichever way it runs the net."""

from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from alexnet.input.loader import IGNORE, Batch
from alexnet.pipeline.deferred import DeferredGradients
from alexnet.pipeline.timing import Timer


@dataclass(frozen=True)
class StepStats:
    """Sums over the real images of a batch, or of several; zeros in a rank that does not know them."""

    loss: float = 0.0
    top1_wrong: float = 0.0
    """Images whose class is not the first guess."""
    top5_wrong: float = 0.0
    """Images whose class is not among the first five guesses."""

    def __add__(self, other: "StepStats") -> "StepStats":
        return StepStats(self.loss + other.loss, self.top1_wrong + other.top1_wrong, self.top5_wrong + other.top5_wrong)

    @classmethod
    def of(cls, logits: Tensor, labels: Tensor) -> "StepStats":
        """From logits (N, classes) and labels (N,), ``IGNORE`` in rows that are padding."""
        logits = logits.detach().float()
        loss = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum")
        guesses = logits.topk(min(5, logits.shape[1])).indices
        right = (guesses == labels[:, None])[labels != IGNORE]
        return cls(loss.item(), (~right[:, 0]).sum().item(), (~right.any(1)).sum().item())


class Engine(Protocol):
    """Runs a net that it holds, whole or in part. All ranks call its methods together, with the same labels."""

    takes_images: bool
    """Whether this rank has the first stage; elsewhere batches need no images."""
    timer: Timer
    deferred: dict[int, DeferredGradients]
    """Of each pipeline stage in this process, by its number."""

    def parameters(self) -> dict[str, nn.Parameter]:
        """The parameters that live in this process, by their names in the whole net."""

    def forward_backward(self, batch: Batch) -> StepStats:
        """Run one batch and accumulate gradients of its mean loss; ``update`` must follow."""

    def update(self, optimizer: Optimizer) -> None:
        """Compute the gradients that were deferred, take the optimiser's step and zero the gradients."""
        for stage, deferred in self.deferred.items():
            with self.timer.span("weights", stage):
                deferred.compute()
        with self.timer.span("update"):
            optimizer.step()
            optimizer.zero_grad()

    def evaluate(self, batch: Batch) -> StepStats:
        """Run one batch forward in evaluation mode."""

    def full_state_dict(self) -> dict[str, Tensor]:
        """All parameters of the whole net on the CPU, in every process."""


def loss_share(logits: Tensor, labels: Tensor, count: Tensor) -> Tensor:
    """A microbatch's share of the mean loss over the ``count`` real rows of its batch; the shares add up to that."""
    return F.cross_entropy(logits.float(), labels, ignore_index=IGNORE, reduction="sum") / count
