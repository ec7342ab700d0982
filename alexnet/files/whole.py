"""Files that appear whole or not at all, JSON, arrays, and hashes."""

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from alexnet.errors import UserError
from alexnet.names import brief

if TYPE_CHECKING:
    from numpy.typing import NDArray

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The numbers of the errors of a disk, a quota or a limit that has no room for more."""


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open ``path`` for binary writing; the file appears when the block ends without an error, and not at all otherwise.

    An ``OSError`` about a full disk names ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        # Not "wb": numpy writes past such a file object, and its error then does not say that the disk is full.
        with part.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        if error.filename is None and error.errno in FULL:
            error.filename = str(path)
        raise
    finally:
        part.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, whole or not at all."""
    with whole_file(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    """Write ``content`` to ``path`` as UTF-8, whole or not at all."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented JSON in the order of its keys; NaN and infinity raise ``ValueError``."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, remedy: str = "") -> Any:
    """Read a JSON file. Raises ``UserError`` if it is missing or damaged; ``remedy`` helps if `dvc repro` does not."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; {remedy or 'run `dvc repro` to make it'}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}); {remedy or 'run `dvc repro` to make it again'}") from None


def read_array(path: Path, remedy: str = "") -> "NDArray[Any]":
    """The array of a ``.npy`` file, mapped, so that no header can ask for more memory than the file has bytes.

    Raises ``UserError``, as ``read_json`` does.
    """
    import numpy as np  # imported here, as a command that only writes text starts without it

    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; {remedy or 'run `dvc repro` to make it'}") from None
    except MemoryError:
        raise
    except Exception as error:  # of many kinds, as the header is Python
        raise UserError(f"{path} is damaged ({brief(str(error))}); {remedy or 'run `dvc repro` to make it again'}") from None
    return array


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
