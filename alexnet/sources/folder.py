"""Your own folder: ``train/<class>/*``, and optionally ``val/`` and ``test/`` in the same way."""

import os
from collections.abc import Iterator
from pathlib import Path

from alexnet.errors import UserError
from alexnet.names import printable
from alexnet.sources.listing import Request, SourceListing
from alexnet.sources.manifest import Row, rooted

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def find(request: Request) -> SourceListing:
    """List the images below each class folder; hidden files and other kinds of files are ignored.

    Raises ``UserError`` if a folder is missing or empty, or a class is not in train.
    """
    root = existing_root(request)
    if not (root / "train").is_dir():
        raise UserError(f"data.root: {root} has no folder train; put the images into train/<class>/ in it")
    classes = class_folders(root / "train")
    rows: list[Row] = []
    for split in ("train", "val", "test"):
        if (root / split).is_dir():
            rows += _split(root, split, classes)
    return SourceListing(classes, rows, root)


def existing_root(request: Request) -> Path:
    """The folder ``data.root``. Raises ``UserError`` if it does not exist."""
    root = rooted(request.main, request.settings.root or "")
    if not root.is_dir():
        raise UserError(f"data.root: {request.settings.root} is not a folder ({root}); set it to the one with the images")
    return root


def class_folders(folder: Path) -> list[str]:
    """The names of the class folders, sorted: the label order. Raises ``UserError`` if there are none."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}); fix its permissions") from None
    if not names:
        raise UserError(f"{folder} has no class folders; put the images of each class into a folder with its name there")
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UserError(f"{folder} has a class whose name is not UTF-8: {name!r}; rename it") from None
    return names


def images_below(folder: Path) -> Iterator[Path]:
    """The image files in ``folder`` and below, by extension, sorted; links to files are followed.

    Hidden files are left out, and so are pipes, sockets and devices, which would block.
    """
    for place, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(place, name)
            # What does not exist is a broken link: it is listed, and rejected by name when it is read.
            if name.lower().endswith(EXTENSIONS) and not name.startswith(".") and (path.is_file() or not path.exists()):
                yield path


def _split(root: Path, split: str, classes: list[str]) -> Iterator[Row]:
    for name in class_folders(root / split):
        if name not in classes:
            shown = printable(name)
            raise UserError(f"{root / split} has the class {shown}, which train lacks; add train/{shown} or remove it")
        images = list(images_below(root / split / name))
        if not images:
            place = printable(root / split / name)
            raise UserError(
                f"class {printable(name)} is empty: {place} has no {', '.join(EXTENSIONS)} file; add some or remove it"
            )
        yield from (Row(split, classes.index(name), image.relative_to(root).as_posix()) for image in images)


def _refuse(error: OSError) -> None:
    raise UserError(f"{printable(error.filename)} cannot be read ({error.strerror}); fix its permissions") from None
