"""The list of all images of a source: where the bytes of each are, their hash, its label and split."""

import csv
import hashlib
import io
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from alexnet.errors import UserError
from alexnet.files.record import Record
from alexnet.files.whole import write_bytes, write_json
from alexnet.home import expanded
from alexnet.names import printable
from alexnet.sources.remote import MARK, RemotePath, read_part

SPLITS = ("train", "val", "test")
WHOLE_FILE = -1
"""The number of bytes of an image that is not hashed yet: all of its file."""
# File names need not be UTF-8 on Linux; surrogateescape round-trips any of them.
ENCODING = ("utf-8", "surrogateescape")
REMEDY = "run `dvc repro -f -s download` to make it again"


class Row(NamedTuple):
    """One image: ``bytes`` bytes at ``offset`` of the file ``path``, relative to the manifest's root."""

    split: str
    label: int
    path: str
    offset: int = 0
    bytes: int = WHOLE_FILE
    sha256: str = ""

    @property
    def place(self) -> str:
        """The image in messages, and the key by which it is drawn into a split: its wording must not change."""
        return printable(f"{self.path} at byte {self.offset}" if self.offset else self.path)


class Rows(Sequence[Row]):
    """The rows of a ``manifest.csv``, kept as text: a million of them take a hundred megabytes instead of a thousand."""

    def __init__(self, text: bytes, classes: int) -> None:
        """Check the text, whose labels are below ``classes``. Raises ``ValueError`` or ``csv.Error`` if it is damaged."""
        self._text = text
        self._starts = array("Q")
        file = io.BytesIO(text)
        records = csv.reader(line.decode(*ENCODING) for line in file)
        if tuple(next(records, ())) != Row._fields:
            raise ValueError("it has another header")
        start = file.tell()
        reached = 0
        for number, record in enumerate(records):
            row = _row(record)
            split = SPLITS.index(row.split)
            if split < reached or not 0 <= row.label < classes or min(row.offset, row.bytes) < 0:
                raise ValueError(f"row {number} is wrong")
            reached = split
            self._starts.append(start)
            start = file.tell()
        self._starts.append(start)

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._starts) - 1

    def __getitem__(self, index: Any) -> Any:
        """A row, or the list of some."""
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        at = range(len(self))[index]
        text = self._text[self._starts[at] : self._starts[at + 1]].decode(*ENCODING)
        return _row(next(csv.reader(io.StringIO(text, newline=""))))


class NumberedRows(Sequence[tuple[int, Row]]):
    """Some rows with their numbers, parsed on access."""

    def __init__(self, rows: Sequence[Row], numbers: Sequence[int]) -> None:
        """``numbers``: of the rows to include."""
        self._rows, self._numbers = rows, numbers

    def __len__(self) -> int:
        """How many rows."""
        return len(self._numbers)

    def __getitem__(self, index: Any) -> Any:
        """A number and its row, or the list of some."""
        if isinstance(index, slice):
            return [(number, self._rows[number]) for number in self._numbers[index]]
        return self._numbers[index], self._rows[self._numbers[index]]


@dataclass(frozen=True)
class Manifest:
    """All images of a source, in the order of split, path, offset; a row's index is the image's number from here on."""

    source: str
    """Its name, and for torchvision that of the data set: ``torchvision/Flowers102``."""
    classes: list[str]
    """Names, in label order."""
    mirror: bool
    """Whether a mirrored image is still of its class."""
    pixels: str
    """``encoded``: image files; ``planar-rgb-32``: 32x32 pixels, first the red plane, then green and blue."""
    root: str | None
    """The user's folder as set in params.yaml; None if the images are beside the manifest."""
    rows: Sequence[Row]

    def folder(self, main: Path, raw: Path) -> Path:
        """The folder that the rows' paths start at; ``raw`` has the manifest, a relative root starts at ``main``."""
        return raw if self.root is None else rooted(main, self.root)

    def numbered(self) -> NumberedRows:
        """All rows with their numbers."""
        return NumberedRows(self.rows, range(len(self.rows)))

    def of_split(self, split: str) -> NumberedRows:
        """The rows of a split with their numbers."""
        return NumberedRows(self.rows, array("Q", (number for number, row in enumerate(self.rows) if row.split == split)))


def _row(record: list[str]) -> Row:
    split, label, name, offset, size, digest = record
    return Row(split, int(label), name, int(offset), int(size), digest)


def rooted(main: Path, root: str) -> Path:
    """The folder ``data.root``: a relative one starts at ``main``, ``~`` is the home folder; or that of a store.

    Raises ``UserError`` if the home folder is not known.
    """
    return RemotePath(root) if MARK in root else main / expanded(root, "data.root")


class _Source(Record):
    """The content of ``source.json``: the manifest without its rows."""

    source: str
    classes: list[str]
    mirror: bool
    pixels: Literal["encoded", "planar-rgb-32"]
    root: str | None


def write(folder: Path, manifest: Manifest) -> None:
    """Write ``source.json`` and ``manifest.csv`` into ``folder``."""
    write_csv(folder / "manifest.csv", Row._fields, manifest.rows)
    write_json(folder / "source.json", {name: value for name, value in vars(manifest).items() if name != "rows"})


def write_csv(path: Path, header: Sequence[str], records: Iterable[Sequence[object]]) -> None:
    """Write a table with any file names in it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(header)
    writer.writerows(records)
    write_bytes(path, text.getvalue().encode(*ENCODING))


def read(folder: Path) -> Manifest:
    """Read what ``write`` wrote. Raises ``UserError`` if it is missing or damaged."""
    source = _Source.read(folder / "source.json", REMEDY)
    path = folder / "manifest.csv"
    try:
        return Manifest(**vars(source), rows=Rows(path.read_bytes(), len(source.classes)))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run `dvc repro` to make it") from None
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path} is damaged ({error}); {REMEDY}") from None


def read_image(root: Path, row: Row) -> bytes:
    """The bytes of an image. Raises ``UserError`` if they cannot be read, or have changed since the manifest was written."""
    try:
        # Only a loose file starts at 0, and then all of it is the image: appended bytes are noticed too.
        payload = read_part(root / row.path, row.offset, row.bytes if row.offset else WHOLE_FILE)
        if hashlib.sha256(payload).hexdigest() == row.sha256:
            return payload
        why = "it has other bytes now"
    except FileNotFoundError as error:
        why = error.strerror or "it is gone"
    except OSError as error:
        raise UserError(
            f"{printable(root / row.path)} cannot be read ({error.strerror or error}); fix that, then run this again"
        ) from None
    raise UserError(
        f"{printable(root / row.path)} has changed since it was listed ({why}); "
        "run `dvc repro -f -s download` to list the images again, then `dvc repro`"
    )
