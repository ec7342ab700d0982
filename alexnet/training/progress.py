"""What a person sees of a running training: a bar on a terminal, plain lines elsewhere."""

import os
import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

EVERY = 30.0
"""Seconds between plain lines."""


class Progress:
    """Loss, top-1 error, images a second and time left, on standard error."""

    def __init__(self, epochs: int, steps: int, batch_size: int, before: int, shown: bool) -> None:
        """``steps``: of an epoch. ``before``: steps that an earlier process did."""
        self.epochs, self.steps, self.before, self.shown = epochs, steps, before, shown
        self.terminal = shown and sys.stderr.isatty() and os.get_terminal_size(sys.stderr.fileno()).columns > 0
        self.begun = self.spoken = self.last = time.monotonic()
        self.training = 0.0
        self.done = 0
        self.images = 0
        form = "{desc} {percentage:3.0f}% |{bar}| {n}/{total} steps [{elapsed}<{remaining}{postfix}]"
        self.bar = tqdm(
            total=epochs * steps, initial=before, bar_format=form, disable=not self.terminal, dynamic_ncols=True, leave=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.close()

    def step(self, epoch: int, images: int, loss: float, error: float) -> None:
        """Tell of one step: its epoch, images, mean loss and top-1 error."""
        self.done, self.images = self.done + 1, self.images + images
        now = time.monotonic()
        self.training, self.last = self.training + now - self.last, now
        rate = self.images / self.training
        words = f"loss {loss:.3f}, error {error:.1%}, {rate:.0f} images/s"
        self.bar.set_description_str(f"epoch {epoch}/{self.epochs}", refresh=False)
        self.bar.set_postfix_str(words, refresh=False)
        self.bar.update()
        if self.shown and not self.terminal and now - self.spoken >= EVERY:
            left = (now - self.begun) / self.done * (self.epochs * self.steps - self.before - self.done)
            step = (self.before + self.done - 1) % self.steps + 1
            self._say(f"epoch {epoch}/{self.epochs}, step {step}/{self.steps}: {words}, {left / 60:.1f} min left")

    def epoch(self, epoch: int, train_loss: float, val_loss: float, val_error: float) -> None:
        """Tell of a finished epoch, after its validation."""
        self.last = time.monotonic()
        self._say(
            f"epoch {epoch}/{self.epochs}: train loss {train_loss:.3f}; validation loss {val_loss:.3f}, error {val_error:.1%}"
        )

    def _say(self, line: str) -> None:
        if self.shown:
            self.spoken = time.monotonic()
            self.bar.write(line, file=sys.stderr)
