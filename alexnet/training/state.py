"""Where a training stands, and the figures of the epochs behind it."""

from collections.abc import Sequence
from dataclasses import dataclass


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
    """Where a training stands after a step of its optimiser, or before the first."""

    epoch: int = 1
    """The running one, counted from 1."""
    steps: int = 0
    """Done in it."""
    loss: float = 0.0
    """Summed over the images of these steps."""
    wrong: float = 0.0
    """First guesses of these images that were wrong."""
    epochs: tuple[Epoch, ...] = ()
    """Those that are over."""


def kept_epoch(epochs: Sequence[Epoch], keep: str) -> int:
    """The epoch whose weights are kept: the last, or the first of least validation error."""
    return min(epochs, key=lambda row: row.val_top1_error).epoch if keep == "best" else epochs[-1].epoch
