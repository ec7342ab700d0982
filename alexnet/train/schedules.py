"""The learning rate from epoch to epoch. A schedule gives the rate of the first epoch, and after each epoch the next one's."""

import math
from typing import Protocol

from alexnet.config.training import Training

DROPS = 3
"""How often ``plateau`` drops the rate, as in the paper's section 5."""


class Schedule(Protocol):
    """What the training asks after each epoch."""

    def after(self, epoch: int, error: float) -> float:
        """The rate of the next epoch, after ``epoch`` (counted from 1) ended with the validation error ``error``."""
        ...


class Plateau:
    """Times ``lr_factor`` when the validation error has not improved for ``lr_patience`` epochs, at most ``DROPS`` times."""

    def __init__(self, settings: Training) -> None:
        self.settings = settings
        self.best, self.waited, self.drops = math.inf, 0, 0

    def after(self, epoch: int, error: float) -> float:
        if error < self.best:
            self.best, self.waited = error, 0
        else:
            self.waited += 1
        if self.waited >= self.settings.lr_patience and self.drops < DROPS:
            self.waited, self.drops = 0, self.drops + 1
        return _dropped(self.settings, self.drops)


class Milestones:
    """Times ``lr_factor`` after each of the epochs ``lr_milestones``."""

    def __init__(self, settings: Training) -> None:
        self.settings = settings

    def after(self, epoch: int, error: float) -> float:
        return _dropped(self.settings, sum(epoch >= milestone for milestone in self.settings.lr_milestones))


class Step:
    """Times ``lr_factor`` after every ``lr_step`` epochs."""

    def __init__(self, settings: Training) -> None:
        self.settings = settings

    def after(self, epoch: int, error: float) -> float:
        return _dropped(self.settings, epoch // self.settings.lr_step)


class Cosine:
    """Half a cosine from ``lr`` at the first epoch down to zero after the last."""

    def __init__(self, settings: Training) -> None:
        self.settings = settings

    def after(self, epoch: int, error: float) -> float:
        return self.settings.lr * (1 + math.cos(math.pi * epoch / self.settings.epochs)) / 2


class Constant:
    """The same rate always."""

    def __init__(self, settings: Training) -> None:
        self.settings = settings

    def after(self, epoch: int, error: float) -> float:
        return self.settings.lr


def _dropped(settings: Training, drops: int) -> float:
    return settings.lr * settings.lr_factor**drops


SCHEDULES: dict[str, type[Plateau] | type[Milestones] | type[Step] | type[Cosine] | type[Constant]] = {
    "plateau": Plateau,
    "milestones": Milestones,
    "step": Step,
    "cosine": Cosine,
    "constant": Constant,
}
