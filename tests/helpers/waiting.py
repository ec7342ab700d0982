"""Waiting for what another thread or process does."""

import time
from collections.abc import Callable


def until(true: Callable[[], bool], every: float = 0.05) -> None:
    """Wait until ``true`` is, and fail after a minute."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(every)
