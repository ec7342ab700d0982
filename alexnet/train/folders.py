"""The folders of the trainings whose states are kept: ROOT/IDENTITY-CODE-EPOCHS.

IDENTITY is a hash of what a training's numbers depend on except ``epochs``, CODE one of the code. So a training finds the states
of the same one with other epochs.
"""

import shutil
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from alexnet.files.finished import finished, forget_marks
from alexnet.train.snapshot import STATE, position, snapshots

OTHERS = 2
"""Other trainings whose states are kept, the newest: as many that were stopped, and as many that finished. Each takes two or
three times the bytes of its weights, and twice as much if it was stopped, as two states are kept."""

LOCK = "lock"


def epochs_of(folder: Path) -> int:
    """The epochs of the training that the folder is named after."""
    return int(folder.name.rpartition("-")[2])


def adopt(folder: Path) -> None:
    """Move here the furthest state of the same training with other epochs, if it goes further than ours and not beyond our end.

    A training that runs keeps its own.
    """
    end = epochs_of(folder) + 1, 0
    usable = [path for path in _same_training(folder) if _furthest(folder) < _furthest(path) <= end]
    for other in sorted(usable, key=_furthest, reverse=True):
        with suppress(Timeout), FileLock(other / LOCK, timeout=0):
            forget_marks(folder)
            for old in snapshots(folder):
                shutil.rmtree(old, ignore_errors=True)
            for path in snapshots(other):
                path.rename(folder / path.name)
            shutil.rmtree(other, ignore_errors=True)
            return


def of_other_code(folder: Path) -> Path | None:
    """The newest folder with a state of this training by other code."""
    identity, _, epochs = folder.name.split("-")
    others = [path for path in folder.parent.glob(f"{identity}-*-{epochs}") if path != folder and snapshots(path)]
    return max(others, key=_saved, default=None)


def prune(folder: Path) -> None:
    """Remove the oldest of the other trainings, and once this one has finished, the same with other epochs that have too."""
    others = [path for path in folder.parent.iterdir() if path != folder and path.is_dir()]
    ended = {path for path in others if finished(path)}
    surplus = {path for path in _same_training(folder) if finished(folder) and path in ended}
    for group in (ended - surplus, set(others) - ended):
        surplus |= set(sorted(group, key=_saved, reverse=True)[OTHERS:])
    for old in surplus:
        with suppress(Timeout, OSError), FileLock(old / LOCK, timeout=0):
            shutil.rmtree(old, ignore_errors=True)


def _same_training(folder: Path) -> list[Path]:
    return [path for path in folder.parent.glob(f"{folder.name.rpartition('-')[0]}-*") if path != folder]


def _furthest(folder: Path) -> tuple[int, int]:
    return max(map(position, snapshots(folder)), default=(0, 0))


def _saved(folder: Path) -> float:
    """When the newest state was saved; 0 if none was."""
    return max((path.stat().st_mtime for path in folder.glob(f"*/{STATE}")), default=0.0)
