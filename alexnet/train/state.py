"""Where a training stands, and the figures of its finished epochs."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from alexnet.pipeline.engine import StepStats


@dataclass(frozen=True)
class Epoch:
    """A row of train.csv. Errors are fractions of 1, losses are means over images."""

    epoch: int
    lr: float
    train_loss: float
    train_top1_error: float
    val_loss: float
    val_top1_error: float
    val_top5_error: float


@dataclass(frozen=True)
class State:
    """Where a training stands after an optimiser's step, or before the first."""

    epoch: int = 1
    """The running one, counted from 1."""
    steps: int = 0
    """Done in it."""
    sums: StepStats = field(default_factory=StepStats)
    """Over the images of these steps."""
    history: tuple[Epoch, ...] = ()
    """The finished epochs."""


def kept_epoch(history: Sequence[Epoch], keep: str) -> int:
    """The epoch whose weights are kept: the last, or the first with the lowest validation error."""
    return min(history, key=lambda row: row.val_top1_error).epoch if keep == "best" else history[-1].epoch
