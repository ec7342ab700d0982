"""Stopping a training so that nothing is lost: after the running epoch, whose model can be kept, or at once.

People ask by a signal (the first Ctrl-C for the end of the epoch, a second, SIGTERM or SIGHUP for at once) or, from another
process, by a file in the folder of the training's states. A rank that gets a signal leaves such a file for the others. Those of
other nodes, which may not see it, hear of it through the launcher's store.
"""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from pathlib import Path
from threading import Event, Thread

from tqdm import tqdm

from alexnet import launcher
from alexnet.config.training import Training
from alexnet.pipeline.distributed import Ranks, launchers_store
from alexnet.signals import signals_handled
from alexnet.train.schedules import NEED_EPOCHS
from alexnet.train.state import State


class Wish(IntEnum):
    """What is to happen after a step."""

    GO_ON = 0
    SAVE = 1
    STOP = 2
    """Save, then stop."""


HEARD_WITHIN = 0.3
"""Seconds."""
FINISH, STOP = "finish", "stop"
"""The files that ask: to stop after the running epoch, and at once."""


class Stopped(KeyboardInterrupt):
    """Ends a training where it was asked to stop."""

    def __init__(self, state: State, saved: bool) -> None:
        """``saved``: whether the training can go on from ``state``."""
        super().__init__(state)
        self.state, self.saved = state, saved


class Stopping:
    """Knows whether a training is to stop. Each rank has one; the last rank's word counts within an epoch."""

    def __init__(self, folder: Path | None, settings: Training, ranks: Ranks) -> None:
        """``folder`` of the states; without one, signals end the process as anywhere else."""
        self.folder, self.ranks, self.epochs = folder, ranks, settings.epochs
        self.keepable = settings.lr_schedule not in NEED_EPOCHS
        """Whether the state after an epoch is that of a training with fewer epochs."""
        self._interrupts, self._at_once, self._said, self._heard = 0, False, False, 0
        self._began, self._steps = time.monotonic(), 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While this lasts, signals ask."""
        if self.folder is None:
            yield
            return
        at_once = (signal.SIGTERM, signal.SIGHUP)
        with signals_handled({signal.SIGINT: self._interrupted, **dict.fromkeys(at_once, self._stop)}), self._hearing():
            yield

    def after_epoch(self) -> bool:
        """Whether to stop after the running epoch."""
        return self.keepable and self._asked() > 0

    def now(self) -> bool:
        """Whether to stop at once: also where the end of the epoch is worth nothing, as its model could not be kept."""
        asked = self._asked()
        return asked > 1 or (asked == 1 and not self.keepable)

    def step(self, epoch: int, left: int) -> None:
        """Note a step, ``left`` of which remain in the epoch; the lead says what will happen, once."""
        self._steps += 1
        if self.after_epoch() and not self._said and self.ranks.lead:
            self._said = True
            seconds = (time.monotonic() - self._began) / self._steps * left
            wait = f"{seconds / 60:.0f} min" if seconds > 120 else f"{max(seconds, 1):.0f} s"
            tqdm.write(
                f"stopping after epoch {epoch}, in about {wait} and its validation; Ctrl-C again stops now", file=sys.stderr
            )

    def _asked(self) -> int:
        """0: nothing; 1: to stop after the epoch; 2: at once."""
        if self._at_once or self._interrupts > 1 or self._found(STOP):
            return 2
        return max(self._heard, int(self._interrupts > 0 or self._found(FINISH)))

    @contextmanager
    def _hearing(self) -> Iterator[None]:
        """While this lasts, hear what the ranks of other nodes are asked, and tell them what this one is."""
        over = Event()
        thread = Thread(target=self._hear, args=(over,), name="asked elsewhere", daemon=True)
        if launcher.nodes() > 1:
            thread.start()
        try:
            yield
        finally:
            over.set()
            if thread.is_alive():
                thread.join()

    def _hear(self, over: Event) -> None:
        with suppress(RuntimeError):  # the first node has ended
            store = launchers_store()
            while True:
                ended = over.wait(HEARD_WITHIN)  # so that the others hear what was asked last
                for words in (1, 2):
                    if self._asked() >= words:
                        store.set(f"asked {words}", "")
                    elif store.check([f"asked {words}"]):
                        self._heard = words
                if ended:
                    return

    def _found(self, name: str) -> bool:
        return self.folder is not None and (self.folder / name).exists()

    def _interrupted(self, number: int) -> None:
        self._interrupts += 1
        self._leave(FINISH if self._interrupts == 1 else STOP)

    def _stop(self, number: int) -> None:
        self._at_once = True
        self._leave(STOP)

    def _leave(self, name: str) -> None:
        assert self.folder is not None
        with suppress(OSError):  # a full disk; the other ranks get the signal too
            (self.folder / name).touch()


def ask(folder: Path, at_once: bool = False) -> None:
    """Ask the training whose states are in ``folder`` to stop after its epoch, or at once. Raises ``OSError``."""
    (folder / (STOP if at_once else FINISH)).touch()


def withdraw(folder: Path) -> None:
    """Forget what was asked of an earlier process."""
    for name in (FINISH, STOP):
        (folder / name).unlink(missing_ok=True)
