"""The index of the shards: ``SPLIT.npy`` and ``meta.json`` in ``data/shards/``."""

from typing import Annotated

import numpy as np
from pydantic import Field

from alexnet.files.record import Record

INDEX = np.dtype([("shard", "<u4"), ("offset", "<u8"), ("length", "<u4"), ("label", "<i4"), ("row", "<u4")])
"""An image in a split's index: its JPEG is ``length`` bytes at ``offset`` of the tar ``shard``; ``row``: its manifest number."""
META = "meta.json"
LARGEST = 1024
"""Side of the largest squares, in pixels."""
Count = Annotated[int, Field(ge=0)]


class Shard(Record):
    """One tar of a split."""

    file: Annotated[str, Field(pattern=r"^\w+-\d+\.tar$")]
    """Its name, in the folder of the index."""
    bytes: Annotated[int, Field(ge=1)]
    sha256: str


class SplitMeta(Record):
    """One split."""

    images: Count
    per_class: list[Count]
    """Images of each class, in label order."""
    shards: list[Shard]


class ShardMeta(Record):
    """The content of ``meta.json``."""

    source: str
    classes: list[str]
    """Names, in label order."""
    mirror: bool
    """Whether a mirrored image is still of its class."""
    size: Annotated[int, Field(ge=1, le=LARGEST)]
    """Side of the square images, in pixels."""
    splits: dict[str, SplitMeta]
    rejects: Count
    """Images that could not be read."""
