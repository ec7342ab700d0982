"""The learning rate from epoch to epoch."""

import math

DROPS = 3
"""How often ``plateau`` divides the rate, as in the paper's section 5."""


class Plateau:
    """Divides the rate by 10 when the validation error has not improved for ``patience`` epochs, at most ``DROPS`` times."""

    def __init__(self, lr: float, patience: int) -> None:
        self.initial, self.patience = lr, patience
        self.best, self.waited, self.dropped = math.inf, 0, 0

    def after(self, error: float) -> float:
        """The rate of the next epoch, after an epoch of validation error ``error``."""
        if error < self.best:
            self.best, self.waited = error, 0
        else:
            self.waited += 1
        if self.waited >= self.patience and self.dropped < DROPS:
            self.waited, self.dropped = 0, self.dropped + 1
        return float(self.initial / 10**self.dropped)


class Constant:
    """The same rate always."""

    def __init__(self, lr: float, patience: int) -> None:
        self.initial = lr

    def after(self, error: float) -> float:
        """The rate of the next epoch."""
        return self.initial


SCHEDULES: dict[str, type[Plateau] | type[Constant]] = {"plateau": Plateau, "constant": Constant}
