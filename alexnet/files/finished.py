"""The marks of a finished training beside its last state: which model it wrote, and whether DVC has that model.

DVC stores a model in the seconds after its training. Until then the state must count as finished, or a stop in these seconds
would cost the training; afterwards `dvc repro -f` must train again.
"""

from contextlib import suppress
from pathlib import Path

from alexnet.files.whole import write_text

MODEL = "model.sha256"
"""A file with the hash of the model that was written from the last state."""
STORED = "stored"
"""The same file, once DVC has the model."""


def mark_finished(folder: Path, sha256: str) -> None:
    """The training of ``folder`` has written the model with this hash."""
    (folder / STORED).unlink(missing_ok=True)
    write_text(folder / MODEL, sha256)


def mark_stored(root: Path, sha256: str) -> None:
    """DVC has the model with this hash: call it when ``evaluate`` begins. ``root`` has the folders of all trainings."""
    for mark in root.glob(f"*/{MODEL}"):
        with suppress(OSError):
            if mark.read_text() == sha256:
                mark.rename(mark.with_name(STORED))


def forget_marks(folder: Path) -> None:
    """The last state of ``folder`` is no finished training's."""
    for name in (MODEL, STORED):
        (folder / name).unlink(missing_ok=True)


def finished(folder: Path) -> bool:
    """Whether the training of ``folder`` has finished."""
    return stored(folder) or (folder / MODEL).exists()


def stored(folder: Path) -> bool:
    """Whether DVC has the model of the training of ``folder``."""
    return (folder / STORED).exists()
