"""A run in MLflow that never stops or delays its caller: a thread does the sending."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from alexnet.signals import signals_held_back
from alexnet.tracking.client import Point, Store, StoredRun
from alexnet.tracking.journal import Journal

POINTS_KEPT = 1_000_000
"""Points kept while the store does not answer; later ones are dropped, to bound the memory."""
PULSE, LONGEST_PULSE = 2.0, 60.0
"""Seconds between sends, and at most between retries while MLflow does not answer."""
SAMPLING = 10.0
"""Seconds between samples of the machine's load."""
PATIENCE, SHORT_PATIENCE, PAUSE = 60.0, 10.0, 0.5
"""Seconds that ending a run takes at most, that if MLflow did not answer recently, and between retries."""


class BackgroundRun:
    """A run whose methods return at once and never raise.

    What MLflow does not accept is sent again until ``end`` gives up, unless it is rejected for good; the first failure is
    reported in one line. If the store is off, nothing is sent, and one line says so. With ``resume``, the newest run with these
    tags continues if there is one, and a new run gets them. With ``machine``, the load of CPUs, memory and GPUs is sampled.

    As a context it ends as FINISHED, as KILLED on Ctrl-C or ``SystemExit`` (which a handler of SIGTERM should raise), and as
    FAILED on another error.
    """

    def __init__(self, store: Store, name: str, resume: Mapping[str, str] | None = None, machine: bool = False) -> None:
        self._store, self._name, self._resume, self._machine = store, name, dict(resume or {}), machine
        self._run: StoredRun | None = None
        self._off = store.off
        self._journal = Journal(store.root, name, {} if self._off else self._resume)
        self._calls: list[Callable[[StoredRun], Any]] = []
        self._points: list[Point] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._status, self._deadline = "", 0.0
        self._known: dict[str, set[int]] | None = None
        """Of a run that continues: the steps that each metric had. A training that resumes repeats some."""
        self._answering, self._whole = True, False
        self._warned = False
        self._sampled = 0.0
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        if self._off:
            tqdm.write(f"note: {self._off}: this run is not tracked", file=sys.stderr)
        else:
            self._thread.start()

    def params(self, params: Mapping[str, Any]) -> None:
        """Settings by their dotted names (``alexnet.config.section.flat``); those that a resumed run has do not change."""
        self._call(lambda run: run.params(params), "params", params)

    def tags(self, tags: Mapping[str, str]) -> None:
        """Tags, such as ``model_sha256``."""
        self._call(lambda run: run.tags(tags), "tags", tags)

    def metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Values at a step; NaN and infinity are allowed."""
        if self._off:
            return
        now = int(time.time() * 1000)
        points = [(name, float(value), step, now) for name, value in metrics.items()]
        with self._lock:
            self._journal.add("points", points)
            if len(self._points) < POINTS_KEPT:
                self._points += points

    def artifacts(self, path: Path, folder: str) -> None:
        """A file, or the content of a folder, for the run's ``folder``; it must not change until ``end`` has returned."""
        self._call(lambda run: run.artifacts(path, folder))

    def model(self, weights: Path, card: Path, facts: Mapping[str, Any], example: bytes) -> None:
        """The model, for the registry too: its files, the card's content, and an image file as an example of a request."""
        self._call(lambda run: run.registry.log(weights, card, facts, example))

    def evaluated(self, error: float) -> None:
        """The model's test error, by which the registry's champion is found."""
        self._call(lambda run: run.registry.evaluated(error))

    def data(self, lineage: Mapping[str, Any], split: str) -> None:
        """The images of a split, as a data set that the run uses; ``lineage``: the card's ``data``."""
        self._call(lambda run: run.registry.data(lineage, split))

    def end(self, status: str = "FINISHED", patience: float = PATIENCE) -> None:
        """Send what is left and end the run. Waits at most ``patience`` seconds, 10 if MLflow did not answer recently.

        Ctrl-C and SIGTERM are delayed meanwhile, as they would leave the run RUNNING: the terminal and torchrun both signal a
        rank. The caller of a finished run gets the signal afterwards; any other is exiting already.
        """
        if self._off:
            return
        with signals_held_back() as signals:
            patience = patience if self._answering else min(patience, SHORT_PATIENCE)
            self._status, self._deadline = status, time.monotonic() + patience
            self._closing.set()
            self._thread.join(patience)
            if self._thread.is_alive():
                self._warn(f"no answer in {patience:g} s")
            with self._lock:
                self._journal.add("status", status)
                self._journal.close(self._whole)
        if signals and status == "FINISHED":
            signal.raise_signal(signals[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None or not issubclass(kind, (KeyboardInterrupt, SystemExit)):
            self.end("FAILED" if kind else "FINISHED")
        else:  # torchrun and people wait only a few seconds for a process that they stopped
            self.end("KILLED", SHORT_PATIENCE)

    def _call(self, call: Callable[[StoredRun], Any], kind: str = "", content: Any = None) -> None:
        """``kind`` and ``content``: for the journal; files are sent later from where DVC has them."""
        if self._off:
            return
        with self._lock:
            self._calls.append(call)
            if kind:
                self._journal.add(kind, content)

    def _work(self) -> None:
        pulse = 0.0
        while not self._closing.wait(pulse):
            self._answering = self._send()
            pulse = PULSE if self._answering else min(2 * max(pulse, PULSE), LONGEST_PULSE)
        self._finish()

    def _finish(self) -> None:
        """Send the rest and the status, until MLflow has both or ``end`` waits no longer."""
        ended, give_up = False, time.monotonic() + SHORT_PATIENCE
        while time.monotonic() < (self._deadline if self._run else min(self._deadline, give_up)):
            sent = self._send()
            if self._run and not ended:
                ended = self._try(partial(self._run.end, self._status))
            if sent and ended:
                self._whole = True
                return
            time.sleep(PAUSE)

    def _try(self, call: Callable[[], Any]) -> bool:
        """Whether the call is done: MLflow accepted it, or rejected it for good."""
        try:
            call()
        except Exception as error:  # whatever fails in MLflow, the caller's work goes on
            self._warn(error)
            return self._store.refused(error)
        return True

    def _open(self) -> None:
        if self._run is None:
            found = self._store.runs(self._resume) if self._resume else []
            run = found[0] if found else self._store.create(self._name, self._resume)
            self._known = {} if found else None
            if run.status in ("FAILED", "KILLED"):
                run.reopen()
            self._run = run

    def _send(self) -> bool:
        """Send what is waiting and return whether nothing is left; what fails keeps waiting, and does not block the rest."""
        if not self._try(self._open) or self._run is None:
            return False
        self._try(self._sample)
        with self._lock:
            calls, self._calls = self._calls, []
            points, self._points = self._points, []
        calls = [call for call in calls if not self._try(partial(call, self._run))]
        if self._try(partial(self._send_points, self._run, points)):
            points = []
        with self._lock:
            self._calls = calls + self._calls
            self._points = points + self._points
            if not self._calls and not self._points:
                self._journal.clear()
        return not calls and not points

    def _send_points(self, run: StoredRun, points: list[Point]) -> None:
        if self._known is not None:
            known = self._known
            for name in {name for name, _, step, _ in points if step} - known.keys():
                known[name] = set() if name.startswith("system/") else run.steps(name)
            points = [point for point in points if not point[2] or point[2] not in known[point[0]]]
        run.points(points)

    def _sample(self) -> None:
        if self._machine and self._run and time.monotonic() >= self._sampled + SAMPLING:
            self._sampled = time.monotonic()
            self.metrics(self._run.machine(), step=self._run.age())

    def _warn(self, why: object) -> None:
        if self._warned:
            return
        self._warned = True
        tqdm.write(
            f"warning: {self._store.describe(why)}; the work goes on and sending is retried; `python -m workflow.track` sends "
            "later what is still missing then",
            file=sys.stderr,
        )
