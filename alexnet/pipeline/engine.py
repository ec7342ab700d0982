"""What the training asks of an engine, whichever way it runs the net."""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from alexnet.input.loader import IGNORE, Batch
from alexnet.pipeline.deferred import DeferredGradients
from alexnet.pipeline.replicas import Replica
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


class PendingStats:
    """The ``StepStats`` of a batch, which a GPU may still have to compute."""

    def __init__(self, sums: Tensor | None = None) -> None:
        """``sums``: what ``sums_of`` gives; None in a rank that does not know them."""
        self._sums, self._copied = sums, None
        if sums is not None and sums.is_cuda:
            self._sums = torch.empty_like(sums, device="cpu", pin_memory=True).copy_(sums, non_blocking=True)
            self._copied = torch.cuda.current_stream(sums.device).record_event()

    def read(self) -> StepStats:
        """Wait until they have been computed."""
        if self._copied is not None:
            self._copied.synchronize()
        return StepStats(*self._sums.tolist()) if self._sums is not None else StepStats()


def sums_of(logits: Tensor, labels: Tensor) -> Tensor:
    """The figures of ``StepStats``, float64 (3,).

    From logits (N, classes) and labels (N,), ``IGNORE`` in rows that are padding.
    """
    logits = logits.detach().float()
    loss = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum")
    wrong = logits.topk(min(5, logits.shape[1])).indices != labels[:, None]
    real = labels != IGNORE
    return torch.stack([loss.double(), (wrong[:, 0] & real).sum().double(), (wrong.all(1) & real).sum().double()])


class Engine(Protocol):
    """Runs a net that it holds, whole or in part. All ranks call its methods together, with the same labels.

    Batches have images of this process's share alone; see ``BatchLoader``.
    """

    takes_images: bool
    """Whether this rank has the first stage; elsewhere batches need no images."""
    timer: Timer
    deferred: dict[int, DeferredGradients]
    """Of each pipeline stage in this process, by its number."""
    replica: Replica | None
    """The one that this process belongs to; None if there is one, or this process runs all."""

    def parameters(self) -> dict[str, nn.Parameter]:
        """The parameters that live in this process, by their names in the whole net."""

    def forward_backward(self, batch: Batch) -> PendingStats:
        """Run one batch and accumulate gradients of its mean loss; ``update`` must follow.

        Figures are those of this process's share.
        """

    def update(self, optimizer: Optimizer) -> None:
        """Compute the gradients that were deferred, add up the replicas', take the optimiser's step and zero the gradients."""
        for stage, deferred in self.deferred.items():
            with self.timer.span("weights", stage):
                deferred.compute()
        if self.replica:
            self.replica.add_up(value.grad for value in self.parameters().values() if value.grad is not None)
        with self.timer.span("update"):
            optimizer.step()
            optimizer.zero_grad()

    def evaluate(self, batch: Batch) -> PendingStats:
        """Run one batch forward in evaluation mode."""

    def full_state_dict(self) -> dict[str, Tensor]:
        """All parameters of the whole net on the CPU, in every process."""


def loss_share(logits: Tensor, labels: Tensor, count: Tensor) -> Tensor:
    """A microbatch's share of the mean loss over the ``count`` real rows of its batch; the shares add up to that."""
    return F.cross_entropy(logits.float(), labels, ignore_index=IGNORE, reduction="sum") / count
