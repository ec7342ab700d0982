"""The learning rate of the next epoch, from the validation errors of the epochs before it."""

import math
from collections.abc import Callable, Sequence

from alexnet.config.training import Training

DROPS = 3
"""How often ``plateau`` drops the rate at most, as in the paper's section 5."""

Schedule = Callable[[Training, Sequence[float]], float]


def plateau(settings: Training, errors: Sequence[float]) -> float:
    """Times ``lr_factor`` when the error has not improved for ``lr_patience`` epochs, at most ``DROPS`` times."""
    best, waited, drops = math.inf, 0, 0
    for error in errors:
        best, waited = (error, 0) if error < best else (best, waited + 1)
        if waited >= settings.lr_patience and drops < DROPS:
            waited, drops = 0, drops + 1
    return settings.lr * settings.lr_factor**drops


def milestones(settings: Training, errors: Sequence[float]) -> float:
    """Times ``lr_factor`` after each of the epochs ``lr_milestones``."""
    return settings.lr * settings.lr_factor ** sum(len(errors) >= milestone for milestone in settings.lr_milestones)


def step(settings: Training, errors: Sequence[float]) -> float:
    """Times ``lr_factor`` after every ``lr_step`` epochs."""
    return settings.lr * settings.lr_factor ** (len(errors) // settings.lr_step)


def cosine(settings: Training, errors: Sequence[float]) -> float:
    """Half a cosine from ``lr`` in the first epoch down to zero after the last."""
    return settings.lr * (1 + math.cos(math.pi * len(errors) / settings.epochs)) / 2


def constant(settings: Training, errors: Sequence[float]) -> float:
    """Always the same rate."""
    return settings.lr


SCHEDULES: dict[str, Schedule] = {
    "plateau": plateau,
    "milestones": milestones,
    "step": step,
    "cosine": cosine,
    "constant": constant,
}
NEED_EPOCHS = ("cosine",)
"""Schedules whose rates depend on ``epochs`` before the last, so that a training is not the beginning of a longer one."""
