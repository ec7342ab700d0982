"""Tar members, written the same bytes every time, and their offsets in an archive."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from alexnet.errors import UserError

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


def members(path: Path, start: int = 0) -> Iterator[tuple[str, int, int]]:
    """(name, offset, bytes) of the files in an uncompressed tar, or in one that starts at ``start`` inside it.

    Raises ``UserError`` if it is damaged.
    """
    with path.open("rb") as file:
        file.seek(start)
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                while info := archive.next():
                    # The archive keeps each member; millions of them would fill the memory.
                    archive.members.clear()  # type: ignore[attr-defined]
                    if info.isfile():
                        yield info.name, info.offset_data, info.size
                # A broken header ends the list as silently as the zeros that should.
                file.seek(archive.offset)
                if file.read(BLOCK) != bytes(BLOCK):
                    raise tarfile.ReadError("it ends early")
        except tarfile.TarError as error:
            raise UserError(f"{path} is damaged ({error}); replace it with a complete one") from None
