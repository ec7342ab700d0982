"""CIFAR-10 from its binary archive: records of a label byte and 32x32 pixels, plane by plane."""

import numpy as np

from alexnet.sources.fetch import Archive, fetch, unpack
from alexnet.sources.listing import Request, SourceListing
from alexnet.sources.manifest import Row
from alexnet.sources.tar import members

# torchvision has the address and the checksum of the pickled images only.
ARCHIVE = Archive("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", 170_052_171)
PIXELS = 3 * 32 * 32
RECORD = 1 + PIXELS


def find(request: Request) -> SourceListing:
    """Fetch the archive and list its records. Raises ``UserError`` if it cannot be fetched."""
    tar = unpack(fetch(ARCHIVE, request.downloads), request.raw)
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
    return SourceListing(classes, rows, request.raw, pixels="planar-rgb-32")
