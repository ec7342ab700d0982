"""Folders of images on a disk: which folders are classes, which files are images, and what is left out."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from alexnet.errors import UserError
from alexnet.names import printable
from alexnet.sources.listing import Omissions
from alexnet.sources.remote import RemotePath

EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".pjp", ".png", ".webp", ".bmp")
SYSTEM_FILES = {
    # Synology, QNAP
    *("@eadir", "@tmp", "@sharebin", "@__thumb", "@recycle", "@recently-snapshot", "#recycle", "#snapshot"),
    # Windows
    *("$recycle.bin", "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini"),
    # macOS, Linux
    *("__macosx", "network trash folder", "temporary items", "icon\r", "lost+found"),
}
"""Lower-case names of files and folders that storage devices and operating systems put among a user's own."""


def ignored(name: str) -> bool:
    """Whether a file or folder is hidden, or was put there by a storage device or an operating system."""
    return name.startswith(".") or name.lower() in SYSTEM_FILES


def subfolders(folder: Path) -> list[str]:
    """The names of the folders in ``folder`` and of links to folders, sorted."""
    try:
        entries: Iterable[os.DirEntry[str] | Path] = folder.iterdir() if isinstance(folder, RemotePath) else os.scandir(folder)
        return sorted(entry.name for entry in entries if entry.is_dir() and not ignored(entry.name))
    except OSError as error:
        raise UserError(f"{printable(folder)} cannot be read ({error.strerror}); fix its permissions") from None


def class_folders(folder: Path) -> list[str]:
    """The names of the class folders, sorted: the label order. Raises ``UserError`` if there are none."""
    names = subfolders(folder)
    if not names:
        raise UserError(f"{folder} has no class folders; put the images of each class into a folder with its name there")
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UserError(f"{folder} has a class whose name is not UTF-8: {name!r}; rename it") from None
    return names


def count_strays(folder: Path, omissions: Omissions) -> None:
    """Count the images beside the class folders in ``folder``, and the links to nowhere, which may stand for a class."""
    for path in folder.iterdir():
        if not ignored(path.name) and not path.is_dir():
            if not path.exists():
                omissions.files["linked to nowhere"] += 1
            elif path.name.lower().endswith(EXTENSIONS):
                omissions.files["outside the class folders"] += 1


def images_below(folder: Path, omissions: Omissions) -> Iterator[Path]:
    """The image files in ``folder`` and below, by extension; links to files and folders are followed.

    What is hidden, or was put there by a storage device or an operating system, is left out uncounted. What else is left out is
    counted: other files; pipes and devices, which would block; links in a circle, or to a folder that is listed already.
    """
    if isinstance(folder, RemotePath):
        for file in folder.below():
            if not any(map(ignored, file.relative_to(folder).parts)):
                if file.name.lower().endswith(EXTENSIONS):
                    yield file
                else:
                    omissions.files[file.suffix.lower() or "without extension"] += 1
        return
    seen: set[tuple[int, int]] = set()
    pending = [folder]
    # Real folders first, so that an image that can be reached in two ways is listed by the way without a link.
    for start in pending:
        if folder.parent.resolve().is_relative_to(start.resolve()):
            omissions.files["linked in a circle"] += 1
            continue
        for place, folders, files in os.walk(start, onerror=_refuse):
            status = os.stat(place)
            if (status.st_dev, status.st_ino) in seen:
                omissions.files["linked a second time"] += 1
                folders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            folders[:] = sorted(name for name in folders if not ignored(name))
            pending += [path for name in folders if (path := Path(place, name)).is_symlink()]
            for path in (Path(place, name) for name in sorted(files) if not ignored(name)):
                if kind := _other_kind(path):
                    omissions.files[kind] += 1
                else:
                    yield path


def _other_kind(path: Path) -> str | None:
    # None for an image. A link to nowhere that is named like one is listed, and refused by name when it is read.
    image = path.name.lower().endswith(EXTENSIONS)
    if path.is_file():
        return None if image else path.suffix.lower() or "without extension"
    if path.exists():
        return "of a special type"
    return None if image else "linked to nowhere"


def _refuse(error: OSError) -> None:
    raise UserError(f"{printable(error.filename)} cannot be read ({error.strerror}); fix its permissions") from None
