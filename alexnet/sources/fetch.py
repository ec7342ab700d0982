"""Archives from the network: fetched once into ``downloads/``, verified, and unpacked to plain tars beside the manifest."""

import gzip
import logging
import os
import shutil
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import pooch
from requests import HTTPError, RequestException

from alexnet.disk import require_free_space
from alexnet.errors import UserError
from alexnet.files.whole import whole_file


@dataclass(frozen=True)
class Archive:
    """A file on the network, in most cases a gzipped tar."""

    url: str
    md5: str | None
    """None if no checksum of it is known."""
    bytes: int = 0
    """Its size, 0 if that is not known."""

    @property
    def name(self) -> str:
        """Its file name."""
        return self.url.rpartition("/")[2]


def fetch(archive: Archive, downloads: Path) -> Path:
    """The archive in ``downloads``, fetched if it is not there yet.

    Raises ``UserError`` if the host cannot be reached (with what to do by hand), the checksum is wrong, or ``downloads`` cannot
    be written to.
    """
    path = downloads / archive.name
    if path.exists():
        _verify(path, archive)
        return path
    pooch.get_logger().setLevel(logging.WARNING)
    loader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty())
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        require_free_space(downloads, archive.bytes, archive.name)
        checksum = f"md5:{archive.md5}" if archive.md5 else None
        pooch.retrieve(archive.url, checksum, archive.name, downloads, downloader=loader)
    except (RequestException, ValueError) as error:
        checked = f" (md5 {archive.md5})" if archive.md5 else ""
        raise UserError(
            f"{archive.name} could not be fetched from {archive.url} ({_reason(error)}); "
            f"put the file{checked} into {downloads} and run `dvc repro` again"
        ) from None
    except OSError as error:
        raise UserError(
            f"{archive.name} cannot be written into {downloads} ({error.strerror or error}); "
            "free some space there, or fix its permissions, and run `dvc repro` again"
        ) from None
    return path


def unpack(path: Path, raw: Path) -> Path:
    """Unpack the gzipped tar ``path`` to a plain tar in ``raw``, whose members can be read at random.

    Raises ``UserError`` if the archive is damaged, or the disk is too small.
    """
    raw.mkdir(parents=True, exist_ok=True)
    plain = raw / f"{path.name.partition('.')[0]}.tar"
    try:
        with path.open("rb") as file:
            file.seek(-min(4, path.stat().st_size), os.SEEK_END)
            # gzip's last field: the plain length modulo 2^32.
            require_free_space(raw, int.from_bytes(file.read(4), "little"), f"the unpacked {path.name}")
        with gzip.open(path) as source, whole_file(plain) as target:
            shutil.copyfileobj(source, target, 1 << 20)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is damaged ({error}); remove it and run `dvc repro` again") from None
    return plain


def _verify(path: Path, archive: Archive) -> None:
    if archive.md5 and (found := pooch.file_hash(path, "md5")) != archive.md5:
        raise UserError(f"{path} has md5 {found}, not {archive.md5}; remove it, or replace it with {archive.url}")


def _reason(error: Exception) -> str:
    if isinstance(error, HTTPError) and error.response is not None:
        return f"the host answered {error.response.status_code}"
    return "no connection" if isinstance(error, RequestException) else "wrong checksum"
