"""What a command does first, before its imports, which take seconds."""

import gc

from alexnet.signals import end_quietly

OBJECTS = 10_000
"""New objects after which Python looks for garbage. Loading torch or MLflow makes hundreds of thousands and no garbage, and a
tenth to a fifth of the time would go into looking for it by Python's own number, 700."""


def begin() -> None:
    """Load packages sooner, and end quietly by a signal. Call it once."""
    gc.set_threshold(OBJECTS)
    end_quietly()
