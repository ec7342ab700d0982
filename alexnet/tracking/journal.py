"""What MLflow does not have yet of a run, on disk: ``python -m workflow.track`` sends it if the run's process is gone."""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any

from alexnet.tracking.client import Point, Store

FOLDER = ".unsent"
"""In the main repository; a file for each run of a process that lives or did not end its run."""


class Journal:
    """The file of a run. Its process holds a lock on it, which the system releases however the process ends.

    No method raises if the disk is full or read-only: the run is then sent from memory alone.
    """

    def __init__(self, root: Path, name: str, resume: Mapping[str, str]) -> None:
        """``resume``: the tags by which the run is found; without tags, no file is kept."""
        self._file: FileIO | None = None
        self._begin = 0
        if resume:
            with suppress(OSError):
                self._open(root / FOLDER, json.dumps({"name": name, "resume": dict(resume)}))

    def _open(self, folder: Path, header: str) -> None:
        folder.mkdir(exist_ok=True)
        path = folder / f"{time.time_ns()}-{os.getpid()}"
        file = FileIO(path, "xb")
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            self._begin = file.write(header.encode())
            path.rename(path.with_suffix(".jsonl"))  # from here on others see it, locked
        except OSError:
            path.unlink()
            raise
        self._file = file

    def add(self, kind: str, content: Any) -> None:
        """Note params, tags, points or the run's status until ``clear``."""
        if self._file:
            with suppress(OSError):  # a line that a full disk cuts off spoils none but itself
                self._file.write(f"\n{json.dumps([kind, content], default=str)}".encode())

    def clear(self) -> None:
        """MLflow has everything so far."""
        if self._file:
            with suppress(OSError):
                self._file.truncate(self._begin)
                self._file.seek(self._begin)

    def close(self, whole: bool) -> None:
        """End it; ``whole``: MLflow has the run as it ended."""
        if self._file:
            with suppress(OSError):
                if whole:
                    _path(self._file).with_suffix(".jsonl").unlink()
                self._file.close()
        self._file = None


def _path(file: FileIO) -> Path:
    return Path(os.fsdecode(file.name))


@dataclass
class Rest:
    """What a process left of its run."""

    path: Path
    name: str
    resume: dict[str, str]
    """The tags by which the run is found."""
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    status: str = ""
    """How the run ended; empty if the process did not come to that."""


def rests(root: Path) -> Iterator[Rest]:
    """What processes left that are gone, oldest first; but not of a run with which a living one goes on."""
    running = [rest.resume for rest, alive in _files(root) if alive]
    return (rest for rest, alive in _files(root) if not alive and rest.resume not in running)


def _files(root: Path) -> Iterator[tuple[Rest, bool]]:
    """Each file's content and whether its process lives; the others are locked until the next."""
    for path in sorted((root / FOLDER).glob("*.jsonl")):
        with path.open("rb") as file:
            alive = False
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                alive = True
            if path.exists() and (rest := _read(path, file.read().decode(errors="replace"))):
                yield rest, alive


def _read(path: Path, text: str) -> Rest | None:
    """None if a power cut left nothing of the file."""
    header, *lines = text.split("\n")
    try:
        rest = Rest(path, **json.loads(header))
    except (TypeError, ValueError):
        return None
    for line in lines:
        try:
            kind, content = json.loads(line)
        except ValueError:  # cut off
            continue
        if kind == "points":
            rest.points += [(name, value, step, when) for name, value, step, when in content]
        elif kind == "status":
            rest.status = content
        else:
            vars(rest)[kind].update(content)
    return rest


def send(rest: Rest, store: Store) -> str:
    """Send what is left, each step once, end the run, and remove the file.

    Returns what was done in words, empty if nothing was missing. Raises what MLflow raises.
    """
    found = store.runs(rest.resume)
    done = ""
    if found or rest.params or rest.tags or rest.points:
        run = found[0] if found else store.create(rest.name, rest.resume)
        known = {name: run.steps(name) for name in {name for name, *_ in rest.points} if not name.startswith("system/")}
        points = [point for point in rest.points if point[2] not in known.get(point[0], ())]
        tags = {name: value for name, value in rest.tags.items() if run.found_tags.get(name) != value}
        if run.params(rest.params) or tags or points:
            done = f"{run.name}: sent what its process left"
        run.tags(tags)
        run.points(points)
        status = rest.status or "KILLED"
        if status != run.status and (run.status == "RUNNING" or status == "FINISHED"):
            run.end(status, int(rest.path.stat().st_mtime * 1000))
            done = f"{run.name}: ended as {status}"
    rest.path.unlink()
    return done
