"""The size and SHA-256 of each image, in threads."""

import hashlib
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from alexnet.errors import UserError
from alexnet.names import printable
from alexnet.sources.manifest import WHOLE_FILE, Row

THREADS = 8
BATCH = 4096
"""Rows submitted to the threads at once, so that a million rows are not a million waiting calls."""
BLOCK = 1 << 20
"""Bytes that a thread reads at a time: a file named .jpg may have any size."""


def hashed(rows: Sequence[Row], root: Path) -> list[Row]:
    """The rows with the size and hash of their bytes under ``root``. Raises ``UserError`` if a file cannot be read."""
    with ThreadPoolExecutor(THREADS) as threads:
        batches = (threads.map(partial(_hashed, root=root), rows[at : at + BATCH]) for at in range(0, len(rows), BATCH))
        done = chain.from_iterable(batches)
        return list(tqdm(done, "hashes", len(rows), unit=" images", disable=None, leave=False))


def _hashed(row: Row, root: Path) -> Row:
    digest = hashlib.sha256()
    size = 0
    most = sys.maxsize if row.bytes == WHOLE_FILE else row.bytes
    try:
        with (root / row.path).open("rb") as file:
            file.seek(row.offset)
            while block := file.read(min(BLOCK, most - size)):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise UserError(f"{printable(root / row.path)} cannot be read ({error.strerror}); fix or remove it") from None
    return row._replace(bytes=size, sha256=digest.hexdigest())
