"""Files of an object store, such as ``s3://bucket/images``, with the methods of ``Path`` that the sources use; through fsspec."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PosixPath
from typing import Any

from alexnet.errors import UserError

MARK = "://"
"""What the address of a store has, and the path of a file has not."""


class RemotePath(PosixPath):
    """A file or folder of a store. Methods raise ``OSError`` whatever the store raises; ``UserError`` for a missing package."""

    def __str__(self) -> str:
        """Its address, which ``Path`` would write with one slash."""
        return f"{self.parts[0]}//{'/'.join(self.parts[1:])}"

    @property
    def store(self) -> Any:
        """Its file system, of which fsspec keeps one for each process, with what it has listed."""
        import fsspec

        return fsspec.filesystem(self.parts[0].removesuffix(":"))

    def relative_to(self, *other: Any) -> Path:  # type: ignore[override]
        """As a path below a folder of the same store."""
        return Path(*self.parts[len(RemotePath(*other).parts) :])

    def is_dir(self, **_: Any) -> bool:
        """Whether it is a folder: the start of a file's name."""
        with _told(self):
            return bool(self.store.isdir(str(self)))

    def is_file(self, **_: Any) -> bool:
        """Whether it is a file."""
        with _told(self):
            return bool(self.store.isfile(str(self)))

    def exists(self, **_: Any) -> bool:
        """Whether it is either."""
        return self.is_dir() or self.is_file()

    def iterdir(self) -> "Iterator[RemotePath]":  # type: ignore[override]
        """The files and folders in a folder."""
        with _told(self):
            names = self.store.ls(str(self), detail=False)
            own = self.store._strip_protocol(str(self))
        return (self / name.rpartition("/")[2] for name in (name.rstrip("/") for name in names) if name != own)

    def below(self) -> "Iterator[RemotePath]":
        """All files in a folder and in its folders, sorted."""
        with _told(self):
            names = self.store.find(str(self))
            start = len(self.store._strip_protocol(str(self)))
        return (self / name[start:].lstrip("/") for name in sorted(names))

    @contextmanager
    def open(self, mode: str = "r", **options: Any) -> Iterator[Any]:  # type: ignore[override]
        """Open it for reading."""
        with _told(self), self.store.open(str(self), mode, **options) as file:
            yield file

    def read_bytes(self) -> bytes:
        """Its bytes."""
        return read_part(self, 0, -1)

    def read_text(self, encoding: str | None = None, errors: str | None = None, newline: str | None = None) -> str:
        """Its text."""
        return self.read_bytes().decode(encoding or "utf-8", errors or "strict")


def read_part(path: Path, offset: int, size: int) -> bytes:
    """``size`` bytes of a file from ``offset`` on, or all for -1; from a store in one request."""
    if isinstance(path, RemotePath):
        with _told(path):
            return bytes(path.store.cat_file(str(path), start=offset or None, end=None if size < 0 else offset + size))
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)


@contextmanager
def _told(path: RemotePath) -> Iterator[None]:
    try:
        yield
    except (UserError, MemoryError):
        raise
    except ImportError as error:
        remedy = "`uv pip install -c requirements-dev.txt s3fs`" if path.parts[0] == "s3:" else "install that package"
        raise UserError(f"data.root: {path} needs a package that is missing ({error}); {remedy}, then run this again") from None
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, "it is not there", str(path)) from None
    except Exception as error:  # each store has its own
        why = " ".join(str(error).split()) or type(error).__name__
        raise OSError(errno.EIO, why, str(path)) from None
