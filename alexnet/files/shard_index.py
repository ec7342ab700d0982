"""The index of the shards: ``SPLIT.npy`` and ``meta.json`` in ``data/shards/``."""

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from alexnet.errors import UserError
from alexnet.files.whole import read_json, write_json

INDEX = np.dtype([("shard", "<u4"), ("offset", "<u8"), ("length", "<u4"), ("label", "<i4"), ("row", "<u4")])
"""An image in a split's index: its JPEG is ``length`` bytes at ``offset`` of the tar ``shard``; ``row``: its manifest number."""
META = "meta.json"


class Shard(BaseModel):
    """One tar of a split."""

    model_config = ConfigDict(frozen=True)
    file: str
    bytes: int
    sha256: str


class SplitMeta(BaseModel):
    """One split."""

    model_config = ConfigDict(frozen=True)
    images: int
    per_class: list[int]
    """Images of each class, in label order."""
    shards: list[Shard]


class ShardMeta(BaseModel):
    """The content of ``meta.json``."""

    model_config = ConfigDict(frozen=True)
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


def write_meta(folder: Path, meta: ShardMeta) -> None:
    """Write ``meta.json`` into ``folder``."""
    write_json(folder / META, meta.model_dump())


def read_meta(folder: Path) -> ShardMeta:
    """Read ``meta.json`` in ``folder``. Raises ``UserError`` if it is missing or damaged."""
    try:
        return ShardMeta.model_validate(read_json(folder / META))
    except ValidationError:
        raise damaged(folder / META) from None


def damaged(path: Path) -> UserError:
    """The error for a file of the shards that cannot be used."""
    return UserError(f"{path} is missing or damaged; run `dvc repro -f -s preprocess` to make it again")
