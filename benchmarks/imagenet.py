"""ImageNet's manifest and index, made up: as many rows as it has, and shards that are holes."""

import os
from collections.abc import Callable, Iterator
from hashlib import sha256

import numpy as np

from alexnet.files.shard_index import INDEX, META, Shard, ShardMeta, SplitMeta
from alexnet.input.shards import Shards
from alexnet.sources import manifest
from alexnet.sources.imagenet import TRAIN, VAL
from alexnet.sources.manifest import SPLITS, Manifest, Row
from stages import paths

IMAGENET = {"train": 1_268_356, "val": 12_811, "test": 50_000}
"""Images of ILSVRC 2012 in each split of the recipe paper-imagenet, which validates on 1 % of the training images."""
IMAGES = sum(IMAGENET.values())
CLASSES = 1000
PHOTOGRAPH = 110_000
"""Bytes of an image in ImageNet's tars."""
SQUARE = 35_000
"""Bytes of its square in the shards."""
SHARD = 14_000
"""Squares in a shard."""


def rows(split: str) -> Iterator[Row]:
    """The rows of a split, as those of ImageNet's tars."""
    archive = VAL if split == "test" else TRAIN
    for number in range(IMAGENET[split]):
        digest = sha256(f"{split}{number}".encode()).hexdigest()
        label = number * CLASSES // IMAGENET[split]
        yield Row(split, label, archive, 512 + number * PHOTOGRAPH, PHOTOGRAPH, digest)


def write_manifest() -> None:
    """As the stage download, which has all rows in memory."""
    listed = [row for split in SPLITS for row in rows(split)]
    manifest.write(paths.RAW, Manifest("imagenet", names(), True, "encoded", "imagenet", listed))


def read_manifest() -> None:
    """As the stages pca and preprocess."""
    manifest.read(paths.RAW).of_split("train")


def write_index() -> None:
    """As the stage preprocess at its end, but for the shards' hashes."""
    paths.SHARDS.mkdir(parents=True)
    splits, first = {}, 0
    for split, images in IMAGENET.items():
        index, numbers = np.zeros(images, INDEX), np.arange(images)
        index["shard"], index["offset"] = numbers // SHARD, 512 + numbers % SHARD * (SQUARE + 2048)
        index["length"], index["label"], index["row"] = SQUARE, numbers * CLASSES // images, first + numbers
        first += images
        np.save(paths.SHARDS / f"{split}.npy", index)
        size = SHARD * (SQUARE + 2048) + 1024
        shards = [Shard(file=f"{split}-{at:05d}.tar", bytes=size, sha256="") for at in range(-(-images // SHARD))]
        for shard in shards:
            (paths.SHARDS / shard.file).write_text(shard.file)
            os.truncate(paths.SHARDS / shard.file, shard.bytes)
        splits[split] = SplitMeta(images=images, per_class=np.bincount(index["label"], minlength=CLASSES).tolist(), shards=shards)
    ShardMeta(source="imagenet", classes=names(), mirror=True, size=256, splits=splits, rejects=0).write(paths.SHARDS / META)


def open_index() -> None:
    """As the training."""
    Shards(paths.SHARDS, "train")


def names() -> list[str]:
    """Of the classes."""
    return [f"class{label}" for label in range(CLASSES)]


WORKS: dict[str, Callable[[], None]] = {
    "write the manifest": write_manifest,
    "read the manifest": read_manifest,
    "write the index": write_index,
    "open the index of train": open_index,
}
