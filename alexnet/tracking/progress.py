"""What a person sees of a running training: a bar on a terminal, plain lines elsewhere."""

import os
import sys
import time

from tqdm import tqdm

EVERY = 30.0
"""Seconds between plain lines."""


class Progress:
    """Loss, top-1 error, images per second and time left, on standard error."""

    def __init__(self, epochs: int, steps: int) -> None:
        """``steps``: per epoch."""
        self.epochs, self.steps = epochs, steps
        self.terminal = sys.stderr.isatty() and os.get_terminal_size(sys.stderr.fileno()).columns > 0
        self.begun = self.last_line = self.last_step = time.monotonic()
        self.training = 0.0
        self.done = self.images = 0
        form = "{desc} {percentage:3.0f}% |{bar}| {n}/{total} steps [{elapsed}<{remaining}{postfix}]"
        self.bar = tqdm(total=epochs * steps, bar_format=form, disable=not self.terminal, dynamic_ncols=True, leave=False)

    def step(self, epoch: int, step: int, images: int, loss: float, error: float) -> None:
        """After a step, counted over all epochs, on ``images`` images, with their mean loss and top-1 error."""
        if not self.done:  # the first of this process, which may resume a training
            self.bar.n = self.bar.initial = step - 1
        self.done, self.images = self.done + 1, self.images + images
        now = time.monotonic()
        self.training, self.last_step = self.training + now - self.last_step, now
        words = f"loss {loss:.3f}, error {error:.1%}, {self.images / self.training:.0f} images/s"
        self.bar.set_description_str(f"epoch {epoch}/{self.epochs}", refresh=False)
        self.bar.set_postfix_str(words, refresh=False)
        self.bar.update()
        if not self.terminal and now - self.last_line >= EVERY:
            left = (now - self.begun) / self.done * (self.epochs * self.steps - step)
            self._print(
                f"epoch {epoch}/{self.epochs}, step {(step - 1) % self.steps + 1}/{self.steps}: {words}, {left / 60:.1f} min left"
            )

    def epoch(self, epoch: int, train_loss: float, val_loss: float, val_error: float) -> None:
        """After an epoch and its validation."""
        self._print(
            f"epoch {epoch}/{self.epochs}: train loss {train_loss:.3f}; validation loss {val_loss:.3f}, error {val_error:.1%}"
        )
        self.last_step = time.monotonic()

    def _print(self, line: str) -> None:
        self.last_line = time.monotonic()
        self.bar.write(line, file=sys.stderr)
