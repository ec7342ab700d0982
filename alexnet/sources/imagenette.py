"""Imagenette: ten easy classes of ImageNet, with a shorter side of 320 pixels."""

from pathlib import PurePosixPath

from torchvision.datasets import Imagenette  # type: ignore[import-untyped]

from alexnet.sources.fetch import Archive, fetch, unpack
from alexnet.sources.listing import Request, SourceListing
from alexnet.sources.manifest import Row
from alexnet.sources.tar import members

# torchvision's own source gives the images in full size; its address, checksum and names of this size are used here.
ARCHIVE = Archive(*Imagenette._ARCHIVES["320px"])
CLASSES = {wnid: names[0] for wnid, names in Imagenette._WNID_TO_CLASS.items()}


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
