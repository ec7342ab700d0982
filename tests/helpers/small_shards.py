"""Shards of given images, made in milliseconds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import simplejpeg

from alexnet.files.shard_index import INDEX, META, Shard, ShardMeta, SplitMeta
from alexnet.files.whole import sha256_of
from alexnet.sources.tar import END, write_member

Image = tuple[bytes, int, int]
"""Its JPEG, label and row."""


def write_split(folder: Path, images: Sequence[Image], classes: int, a_shard: int = 1000) -> None:
    """Write ``images`` as the split train of squares of 32 pixels, ``a_shard`` of them in a tar."""
    folder.mkdir(parents=True, exist_ok=True)
    entries, shards = [], []
    for number, first in enumerate(range(0, len(images), a_shard)):
        path = folder / f"train-{number:05d}.tar"
        with path.open("wb") as file:
            for jpeg, label, row in images[first : first + a_shard]:
                entries.append((number, write_member(file, f"{row:08d}.jpg", jpeg), len(jpeg), label, row))
                write_member(file, f"{row:08d}.cls", str(label).encode())
            file.write(END)
        shards.append(Shard(file=path.name, bytes=path.stat().st_size, sha256=sha256_of(path)))
    np.save(folder / "train.npy", np.array(entries, INDEX))
    per_class = np.bincount([label for _, label, _ in images], minlength=classes).tolist()
    split = SplitMeta(images=len(images), per_class=per_class, shards=shards)
    names = [f"class {label}" for label in range(classes)]
    meta = ShardMeta(source="folder", classes=names, mirror=True, size=32, splits={"train": split}, rejects=0)
    meta.write(folder / META)


def noise(images: int, side: int = 32) -> list[bytes]:
    """JPEGs of random pixels."""
    rng = np.random.default_rng(0)
    return [simplejpeg.encode_jpeg(rng.integers(0, 256, (side, side, 3), np.uint8), 90, "RGB", "420") for _ in range(images)]
