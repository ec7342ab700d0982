"""The list of all images of a source: where the bytes of each lie, their hash, its label and split."""

import csv
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from alexnet.errors import UserError
from alexnet.files import read_json, write_bytes, write_json

SPLITS = ("train", "val", "test")
WHOLE_FILE = -1
"""As the number of bytes of an image that is not hashed yet: all of its file."""


class Row(NamedTuple):
    """One image: ``bytes`` bytes at ``offset`` of the file ``path``, which lies under the manifest's root."""

    split: str
    label: int
    path: str
    offset: int = 0
    bytes: int = WHOLE_FILE
    sha256: str = ""

    @property
    def place(self) -> str:
        """The image in words, for messages."""
        return f"{self.path} at byte {self.offset}" if self.offset else self.path


@dataclass(frozen=True)
class Manifest:
    """All images of a source, in the order of split, path, offset; a row's place in it is the image's number for good."""

    source: str
    classes: list[str]
    """Names, in label order."""
    mirror: bool
    """Whether a mirrored image is still of its class."""
    pixels: str
    """``encoded``: image files; ``planar-rgb-32``: 32x32 pixels, the red plane, the green, the blue."""
    root: str | None
    """The user's folder as typed in params.yaml; None where the images lie beside the manifest."""
    rows: list[Row]

    def folder(self, main: Path, raw: Path) -> Path:
        """The folder that the rows' paths start at; ``raw`` holds the manifest, a relative root starts at ``main``."""
        return raw if self.root is None else rooted(main, self.root)

    def of_split(self, split: str) -> list[tuple[int, Row]]:
        """The rows of a split with their numbers."""
        return [(number, row) for number, row in enumerate(self.rows) if row.split == split]


def rooted(main: Path, root: str) -> Path:
    """The folder ``data.root``: a relative one starts at ``main``, ``~`` is the user's own."""
    return main / Path(root).expanduser()


def write(folder: Path, manifest: Manifest) -> None:
    """Write ``source.json`` and ``manifest.csv`` into ``folder``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(manifest.rows)
    # File names need not be UTF-8 on Linux; surrogateescape carries any of them to and fro.
    write_bytes(folder / "manifest.csv", text.getvalue().encode("utf-8", "surrogateescape"))
    write_json(
        folder / "source.json",
        {
            "source": manifest.source,
            "classes": manifest.classes,
            "mirror": manifest.mirror,
            "pixels": manifest.pixels,
            "root": manifest.root,
        },
    )


def read(folder: Path) -> Manifest:
    """Read what ``write`` wrote. Raises ``UserError`` where it is missing or damaged."""
    source = read_json(folder / "source.json")
    path = folder / "manifest.csv"
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            reader = csv.reader(file)
            if tuple(next(reader, ())) != Row._fields:
                raise ValueError("its header is another")
            rows = [
                Row(split, int(label), name, int(offset), int(size), digest)
                for split, label, name, offset, size, digest in reader
            ]
        return Manifest(**source, rows=rows)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run `dvc repro` to make it") from None
    except (ValueError, TypeError, csv.Error) as error:
        raise UserError(f"{path} is damaged ({error}); run `dvc repro -f -s download` to make it again") from None


def read_image(root: Path, row: Row) -> bytes:
    """The bytes of an image. Raises ``UserError`` where they are not those that the manifest was made of."""
    try:
        with (root / row.path).open("rb") as file:
            file.seek(row.offset)
            # Only a loose file begins at 0, and then all of it is the image: bytes that were appended are noticed too.
            payload = file.read(row.bytes if row.offset else WHOLE_FILE)
    except OSError as error:
        raise changed(root, row, error.strerror or "it cannot be read") from None
    if hashlib.sha256(payload).hexdigest() != row.sha256:
        raise changed(root, row, "its bytes are others now")
    return payload


def changed(root: Path, row: Row, why: str) -> UserError:
    """The answer to an image that is no longer what the manifest says."""
    return UserError(
        f"{root / row.path} has changed since it was listed ({why}); "
        "run `dvc repro -f -s download` to list the images again, then `dvc repro`"
    )
