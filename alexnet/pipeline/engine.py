"""What the training asks of an engine, whichever way it runs the net."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from alexnet.input.loader import IGNORE, Batch
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

    def parameters(self) -> dict[str, nn.Parameter]:
        """The parameters that live in this process, by their names in the whole net."""

    def forward_backward(self, batch: Batch) -> StepStats:
        """Run one batch and accumulate gradients of its mean loss; ``update`` must follow."""

    def update(self, optimizer: Optimizer) -> None:
        """Compute the gradients that were deferred, take the optimiser's step and zero the gradients."""

    def evaluate(self, batch: Batch) -> StepStats:
        """Run one batch forward in evaluation mode."""

    def full_state_dict(self) -> dict[str, Tensor]:
        """All parameters of the whole net on the CPU, in every process."""


def loss_function(labels: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss function of a batch's microbatches: each one's share of the mean over real rows, so that they add up to it."""
    count = (labels != IGNORE).sum()

    def loss(logits: Tensor, part: Tensor) -> Tensor:
        return F.cross_entropy(logits.float(), part, ignore_index=IGNORE, reduction="sum") / count

    return loss
