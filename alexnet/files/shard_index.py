"""The index of the shards: ``SPLIT.npy`` and ``meta.json`` in ``data/shards/``."""

import numpy as np

from alexnet.files.record import Record

INDEX = np.dtype([("shard", "<u4"), ("offset", "<u8"), ("length", "<u4"), ("label", "<i4"), ("row", "<u4")])
"""An image in a split's index: its JPEG is ``length`` bytes at ``offset`` of the tar ``shard``; ``row``: its manifest number."""
META = "meta.json"


class Shard(Record):
    """One tar of a split."""

    file: str
    bytes: int
    sha256: str


class SplitMeta(Record):
    """One split."""

    images: int
    per_class: list[int]
    """Images of each class, in label order."""
    shards: list[Shard]


class ShardMeta(Record):
    """The content of ``meta.json``."""

    source: str
    classes: list[str]
    """Names, in label order."""
    mirror: bool
    """Whether a mirrored image is still of its class."""
    size: int
    """Side of the square images, in pixels."""
    splits: dict[str, SplitMeta]
    rejects: int
    """Images that could not be read."""
