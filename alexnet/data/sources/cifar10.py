"""CIFAR-10 from its binary archive: records of a label byte and 32x32 pixels, plane by plane."""

from pathlib import Path

import numpy as np

from alexnet.data.manifest import Row
from alexnet.data.sources.fetch import Archive, fetch, unpack
from alexnet.data.sources.found import Found
from alexnet.data.tar import members

ARCHIVE = Archive("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", 170_052_171)
PIXELS = 3 * 32 * 32
RECORD = 1 + PIXELS


def find(downloads: Path, raw: Path, archive: Archive = ARCHIVE) -> Found:
    """Fetch the archive and list its records. Raises ``UserError`` where it cannot be fetched."""
    tar = unpack(fetch(archive, downloads), raw)
    rows: list[Row] = []
    classes: list[str] = []
    for name, start, size in members(tar):
        name = name.rpartition("/")[2]
        if name == "batches.meta.txt":
            with tar.open("rb") as file:
                file.seek(start)
                classes = file.read(size).decode().split()
        elif name.endswith(".bin"):
            split = "test" if name == "test_batch.bin" else "train"
            labels = np.memmap(tar, np.uint8, "r", start, (size // RECORD, RECORD))[:, 0]
            rows += [Row(split, int(label), tar.name, start + at * RECORD + 1, PIXELS) for at, label in enumerate(labels)]
    return Found(classes, rows, raw, pixels="planar-rgb-32")
