"""Signals: handled while something runs that must not be interrupted, and sent by Linux when a parent ends."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any


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


def run_to_its_end(command: Sequence[str], **options: Any) -> int:
    """The exit status of ``command``, run as by ``subprocess.run``, which would kill it soon after Ctrl-C.

    The terminal sends Ctrl-C to it too, so it ends in its own way. Raises ``KeyboardInterrupt`` then.
    """
    came: list[int] = []
    with signals_handled({signal.SIGINT: came.append}):
        status = subprocess.run(command, check=False, **options).returncode
    if came:
        raise KeyboardInterrupt
    return status


def signal_at_parents_end(number: int) -> None:
    """Have Linux send this process a signal when its parent ends, however that ends. Does nothing on other systems."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        set_parent_death_signal = 1
        prctl(set_parent_death_signal, number)


def end_quietly() -> None:
    """Have Python end by a signal wherever it comes, and without saying where it was. Call it once.

    If Ctrl-C comes before a command handles it, such as while it imports, Python says one word. If a handler raises within a
    finalizer, where Python prints the exception and goes on, the signal is sent again.
    """
    uncaught, dropped = sys.excepthook, sys.unraisablehook

    def said(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.stderr.write("interrupted\n")
        else:
            uncaught(kind, error, trace)

    def sent_again(lost: "sys.UnraisableHookArgs") -> None:
        if number := _signal_of(lost.exc_value):
            with suppress(RuntimeError):  # the interpreter is ending
                threading.Timer(0.1, os.kill, (os.getpid(), number)).start()  # not here, where Python would drop it again
        else:
            dropped(lost)

    sys.excepthook, sys.unraisablehook = said, sent_again


def _signal_of(error: BaseException | None) -> int:
    """The signal whose handler raised ``error``; 0 if it was none."""
    if isinstance(error, KeyboardInterrupt):
        return signal.SIGINT
    if isinstance(error, SystemExit):
        return max(0, error.code - 128) if isinstance(error.code, int) else 0
    return getattr(error, "sigval", 0)  # torchrun's SignalException
