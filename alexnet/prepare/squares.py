"""The images of a manifest as square pixels, the unreadable ones as rejects."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import UserError
from alexnet.prepare.pixels import BadImage, canonical
from alexnet.prepare.workers import refuse_low_limit
from alexnet.sources.hashes import THREADS
from alexnet.sources.manifest import Row, read_image
from alexnet.sources.remote import RemotePath

REMEDY = "fix or remove them and run `dvc repro -f -s download`, then `dvc repro`"
"""What to do about images that cannot be read."""

Numbered = tuple[int, Row]
"""A manifest row and its number."""


class Reject(NamedTuple):
    """An image that could not be read."""

    row: Row
    reason: str


@dataclass(frozen=True)
class SquareSpec:
    """How the images of a source become squares of ``size`` pixels; picklable, for the workers."""

    root: Path
    pixels: str
    size: int

    def squares(self, rows: Sequence[Numbered]) -> Iterator[NDArray[np.uint8] | Reject]:
        """The square of each row, RGB uint8 (size, size, 3), or why there is none.

        Raises ``UserError`` if an image has changed since it was listed.
        """
        if isinstance(self.root, RemotePath):  # a store answers many requests in the time of one
            with ThreadPoolExecutor(THREADS) as threads:
                waiting = [threads.submit(read_image, self.root, row) for _, row in rows]
                yield from self._squares(rows, (image.result for image in waiting))
        else:
            yield from self._squares(rows, (partial(read_image, self.root, row) for _, row in rows))

    def _squares(self, rows: Sequence[Numbered], images: Iterable[Callable[[], bytes]]) -> Iterator[NDArray[np.uint8] | Reject]:
        for (_, row), image in zip(rows, images, strict=True):
            try:
                yield canonical(image(), self.size, self.pixels)
            except BadImage as bad:
                yield Reject(row, str(bad))
            except MemoryError:
                refuse_low_limit(row.place)
                yield Reject(row, "needs too much memory")


def place(numbered: Numbered) -> str:
    """The image, for messages."""
    return numbered[1].place


def shown(rejects: Sequence[Reject]) -> str:
    """The first three, each with its reason, for messages: a list in a temporary folder goes with it."""
    return "; ".join(f"{reject.row.place} ({reject.reason})" for reject in rejects[:3]) + ("; ..." if len(rejects) > 3 else "")


def refuse_many(rejects: Sequence[Reject], most: int) -> None:
    """Raise ``UserError`` if there are more rejects than ``most``."""
    if len(rejects) > most:
        raise UserError(f"more than {most} images cannot be read: {shown(rejects)}; {REMEDY}, or raise data.max_rejects")
