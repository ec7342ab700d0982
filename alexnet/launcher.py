"""Which rank of a training this process is, and its last words, which the launcher prints when all ranks have ended.

Clusters and other launchers leave ``RANK``, ``WORLD_SIZE`` and the like in the environment, so these count only in children of
a process that called ``launch``.
"""

import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing import parent_process
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from alexnet.errors import UserError
from alexnet.signals import signal_at_parents_end

LAUNCHER = "ALEXNET_LAUNCHER"
"""The environment variable that holds the launcher's process id."""
REPORTS = "ALEXNET_REPORTS"
"""That of the folder in which ranks leave what they say last."""
SETTINGS = "params.yaml"
"""The file in that folder with the settings of the first of several nodes."""
ELSEWHERE = "elsewhere.json"
"""That with the word of another node."""
HOLD = 30.0
"""Seconds that a rank waits for the word of another, or for its end by the launcher."""
LOST = 6.0
"""Seconds that it waits for the word of another node, which may be gone."""


class ConnectionLost(Exception):
    """Another rank has ended, which leaves a word itself or is reported by the launcher."""


class NoAnswer(UserError):
    """Another rank lives but has not answered in time."""


@dataclass(frozen=True)
class Report:
    """What a rank says last, and its exit status."""

    text: str
    status: int


def launch(reports: Path) -> None:
    """Make this process a launcher: the children that it starts from now on are ranks, and leave their reports in a folder."""
    os.environ[LAUNCHER] = str(os.getpid())
    os.environ[REPORTS] = str(reports)


def launched() -> bool:
    """Whether a launcher started this process."""
    return os.environ.get(LAUNCHER) == str(os.getppid())


def end_with_parent() -> None:
    """End this process when the one that started it is killed.

    A rank as by SIGKILL with its launcher, also one that has ended by now; a stage as by SIGTERM with DVC: a second DVC would
    run the stage beside it.
    """
    if parent_process() is not None:  # a worker, which ends with its parent by other means
        return
    if LAUNCHER in os.environ:
        signal_at_parents_end(signal.SIGKILL)
        if not launched():
            os.kill(os.getpid(), signal.SIGKILL)
    elif "DVC_STAGE" in os.environ:
        signal_at_parents_end(signal.SIGTERM)


def rank() -> int:
    """This process's rank, from 0."""
    return int(os.environ["RANK"]) if launched() else 0


def ranks() -> int:
    """How many ranks the launcher started; 1 in a process that runs by itself."""
    return int(os.environ["WORLD_SIZE"]) if launched() else 1


def node() -> int:
    """The number of this process's node, from 0."""
    return _given("GROUP_RANK", 0)


def nodes() -> int:
    """Over how many nodes the ranks are spread."""
    return _given("GROUP_WORLD_SIZE", 1)


def local_rank() -> int:
    """This process's rank among those of its node."""
    return _given("LOCAL_RANK", rank())


def local_ranks() -> int:
    """How many ranks a node has."""
    return ranks() // nodes()


def _given(name: str, otherwise: int) -> int:
    return int(os.environ.get(name, otherwise)) if launched() else otherwise


def settings() -> Path | None:
    """The settings of the first of several nodes; None on the only one, which has its own."""
    return Path(os.environ[REPORTS], SETTINGS) if nodes() > 1 else None


def report(text: str, status: int) -> bool:
    """Have the launcher print ``text`` and exit with ``status``; False if there is no launcher, or the text cannot be written."""
    if not launched():
        return False
    try:
        Path(os.environ[REPORTS], f"{rank()}.json").write_text(json.dumps(asdict(Report(text, status))))
    except OSError:
        return False
    return True


def first_report(folder: Path) -> Report | None:
    """The first report that a rank has left: the others followed from it, and all of them from that of another node."""
    for path in sorted(folder.glob("*.json"), key=lambda path: (path.name == ELSEWHERE, path.stat().st_mtime_ns)):
        try:
            return Report(**json.loads(path.read_text()))
        except ValueError:  # killed while it wrote
            continue
    return None


def await_report() -> bool:
    """Wait until a rank leaves a report, ``HOLD`` seconds at most; whether one did. The launcher ends this process sooner.

    With several nodes ``LOST`` seconds, as the launcher of another may be gone.
    """
    until = time.monotonic() + (HOLD if nodes() == 1 else LOST)
    while not (reported := first_report(Path(os.environ[REPORTS])) is not None) and time.monotonic() < until:
        time.sleep(0.1)
    return reported


def kill_stopped() -> None:
    """Kill the ranks that are stopped (SIGSTOP), for whose answer to a SIGTERM torchrun would wait half a minute."""
    for process in psutil.Process(os.getppid()).children():
        with suppress(psutil.NoSuchProcess):
            if process.status() == psutil.STATUS_STOPPED:
                process.kill()
