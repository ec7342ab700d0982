"""Imagenette: ten easy classes of ImageNet, with a shorter side of 320 pixels."""

from pathlib import PurePosixPath

from alexnet.sources.fetch import Archive, fetch, unpack
from alexnet.sources.listing import Request, SourceListing
from alexnet.sources.manifest import Row
from alexnet.sources.tar import members

ARCHIVE = Archive(
    "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-320.tgz", "3df6f0d01a2c9592104656642f5e78a3", 341_663_724
)
CLASSES = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}


def find(request: Request) -> SourceListing:
    """Fetch the archive and list its images; its validation images are test.

    Raises ``UserError`` if it cannot be fetched.
    """
    tar = unpack(fetch(ARCHIVE, request.downloads), request.raw)
    labels = {wnid: label for label, wnid in enumerate(CLASSES)}
    rows = []
    for name, start, size in members(tar):
        path = PurePosixPath(name)
        if path.suffix == ".JPEG" and not path.name.startswith("."):
            split = {"train": "train", "val": "test"}[path.parts[-3]]
            rows.append(Row(split, labels[path.parts[-2]], tar.name, start, size))
    return SourceListing(list(CLASSES.values()), rows, request.raw)
