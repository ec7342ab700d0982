"""Tar members, written the same bytes every time, and their offsets in an archive."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from alexnet.errors import UserError
from alexnet.names import printable

BLOCK = 512
END = bytes(2 * BLOCK)


def write_member(file: BinaryIO, name: str, payload: bytes) -> int:
    """Append a member without date and owner to an open archive; returns the offset of its bytes. ``END`` goes last."""
    info = tarfile.TarInfo(name)
    info.size = len(payload)
    info.mode = 0o644
    file.write(info.tobuf(tarfile.USTAR_FORMAT))
    offset = file.tell()
    file.write(payload + bytes(-len(payload) % BLOCK))
    return offset


BROKEN = (tarfile.TarError, ValueError, OverflowError, MemoryError, RecursionError)
"""What tarfile raises for a header that makes no sense."""


def members(path: Path, start: int = 0, end: int | None = None) -> Iterator[tuple[str, int, int]]:
    """(name, offset, bytes) of the files in an uncompressed tar, or in one from ``start`` to ``end`` inside it.

    Names are those in the archive and may be any text: no file may be written by them. Raises ``UserError`` if it is damaged, or
    has a link, a device or two files of one name.
    """
    seen = set()
    with path.open("rb") as file:
        file.seek(start)
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                while info := archive.next():
                    # The archive keeps each member; millions of them would fill the memory.
                    archive.members.clear()  # type: ignore[attr-defined]
                    name = printable(info.name)
                    if info.isdir():
                        continue
                    if not info.isfile() or info.issparse():
                        raise tarfile.ReadError(f"{name} in it is no plain file")
                    if info.size < 0 or (end is not None and info.offset_data + info.size > end):
                        raise tarfile.ReadError(f"the size of {name} in it is wrong")
                    if info.name in seen:
                        raise tarfile.ReadError(f"{name} is in it twice")
                    seen.add(info.name)
                    yield info.name, info.offset_data, info.size
                # A broken header ends the list as silently as the zeros that should.
                file.seek(archive.offset)
                if file.read(BLOCK) != bytes(BLOCK):
                    raise tarfile.ReadError("it ends early")
        except BROKEN as error:
            raise UserError(f"{path} is damaged ({str(error) or type(error).__name__}); replace it with a complete one") from None
