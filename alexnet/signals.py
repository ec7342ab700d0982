"""Signals: handled while something runs that must not be interrupted, and sent by Linux when a parent ends."""

import ctypes
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType


@contextmanager
def signals_handled(handlers: Mapping[int, Callable[[int], None]]) -> Iterator[None]:
    """Call ``handlers`` with the signals that come meanwhile. Works in the main thread only, and changes nothing elsewhere."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda number, _: handlers[number](number)) for number in handlers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def signals_held_back() -> Iterator[list[int]]:
    """Record SIGINT and SIGTERM instead of obeying them; yields the list of those received."""
    came: list[int] = []
    with signals_handled({signal.SIGINT: came.append, signal.SIGTERM: came.append}):
        yield came


def signal_at_parents_end(number: int) -> None:
    """Have Linux send this process a signal when its parent ends, however that ends. Does nothing on other systems."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        set_parent_death_signal = 1
        prctl(set_parent_death_signal, number)


def interrupt_quietly() -> None:
    """Have Python say one word, and not where it was, if Ctrl-C comes before a command handles it, such as while it imports."""
    before = sys.excepthook

    def said(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.stderr.write("interrupted\n")
        else:
            before(kind, error, trace)

    sys.excepthook = said
