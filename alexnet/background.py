"""A run of MLflow that never stops or delays its caller: a thread sends what the caller hands over."""

import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from alexnet.tracking import Entry, Point, Store

POINTS_KEPT = 1_000_000
"""Points that wait for a store that does not answer; later ones are dropped, so that memory stays bounded."""
PULSE, LONGEST_PULSE = 2.0, 60.0
"""Seconds between two sendings, and at the most between two tries while MLflow does not answer."""
SAMPLING = 10.0
"""Seconds between two samples of the machine."""


class Run:
    """An entry of the store whose methods return at once and never raise.

    What MLflow does not take is tried again until ``end``; the first failure is told in one line. With ``resume`` the
    newest run that has these tags goes on if there is one, and a new run gets them. With ``machine`` the load of the
    CPUs, the memory and the GPUs is sampled.

    As a context it ends as FINISHED, as KILLED on Ctrl-C or ``SystemExit`` (which a handler of SIGTERM should raise),
    and as FAILED on another error.
    """

    def __init__(self, store: Store, name: str, resume: Mapping[str, str] | None = None, machine: bool = False) -> None:
        self._store, self._name, self._resume, self._machine = store, name, dict(resume or {}), machine
        self._entry: Entry | None = None
        self._calls: list[Callable[[Entry], Any]] = []
        self._points: list[Point] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._status = ""
        self._well = True
        self._warned = False
        self._sampled = 0.0
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def params(self, params: Mapping[str, Any]) -> None:
        """Settings by their dotted names (``tracking.flat``); those that a resumed run has stay as they are."""
        self._call(lambda entry: entry.params(params))

    def tags(self, tags: Mapping[str, str]) -> None:
        """Tags, such as ``model_sha256``."""
        self._call(lambda entry: entry.tags(tags))

    def metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Values at a step; NaN and infinity are kept as such."""
        now = int(time.time() * 1000)
        with self._lock:
            if len(self._points) < POINTS_KEPT:
                self._points += [(name, float(value), step, now) for name, value in metrics.items()]

    def artifacts(self, path: Path, folder: str) -> None:
        """A file, or all that a folder holds, for the run's ``folder``; it must stay as it is until ``end`` has returned."""
        self._call(lambda entry: entry.artifacts(path, folder))

    def end(self, status: str = "FINISHED", patience: float = 60) -> None:
        """Send what is left and end the run. Waits ``patience`` seconds at the most, 10 where MLflow did not answer of late."""
        self._status = status
        patience = patience if self._well else min(patience, 10)
        self._closing.set()
        self._thread.join(patience)
        if self._thread.is_alive():
            self._warn(f"no answer in {patience:g} s")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.end()
        else:
            self.end("KILLED" if issubclass(kind, (KeyboardInterrupt, SystemExit)) else "FAILED", patience=10)

    def _call(self, call: Callable[[Entry], Any]) -> None:
        with self._lock:
            self._calls.append(call)

    def _work(self) -> None:
        pulse, ending = 0.0, False
        while not ending:
            ending = self._closing.wait(pulse)
            self._well = self._try(self._open) and self._send()
            pulse = PULSE if self._well else min(2 * max(pulse, PULSE), LONGEST_PULSE)
        if entry := self._entry:
            self._try(lambda: entry.end(self._status))

    def _try(self, call: Callable[[], Any]) -> bool:
        try:
            call()
        except Exception as error:  # whatever goes wrong with MLflow, the caller's work goes on
            self._warn(error)
            return False
        return True

    def _open(self) -> None:
        if self._entry is None:
            found = Entry.find(self._store, self._resume) if self._resume else []
            self._entry = found[0] if found else Entry.create(self._store, self._name, self._resume)

    def _send(self) -> bool:
        """Send all that waits; what fails waits on, and does not keep the rest from going."""
        assert self._entry
        self._try(self._sample)
        with self._lock:
            calls, self._calls = self._calls, []
            points, self._points = self._points, []
        calls = [call for call in calls if not self._try(partial(call, self._entry))]
        if self._try(partial(self._entry.points, points)):
            points = []
        with self._lock:
            self._calls = calls + self._calls
            self._points = points + self._points
        return not calls and not points

    def _sample(self) -> None:
        if self._machine and self._entry and time.monotonic() >= self._sampled + SAMPLING:
            self._sampled = time.monotonic()
            self.metrics(self._entry.machine(), step=self._entry.age())

    def _warn(self, why: object) -> None:
        if self._warned:
            return
        self._warned = True
        tqdm.write(
            f"warning: {self._store.complaint(why)}; the work goes on, sending is tried again, "
            "and `python -m stages.track` sends later what is missing then",
            file=sys.stderr,
        )
