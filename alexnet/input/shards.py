"""Read the shards: the JPEG of any image, through memory maps, or its pixels."""

from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from alexnet.errors import UserError
from alexnet.files.shard_index import INDEX, META, ShardMeta
from alexnet.files.whole import read_array, sha256_of

REMEDY = "run `dvc repro -f -s preprocess` to make it again"
BLOCK = 512
"""Bytes of a tar's header; contents are padded to a multiple."""
HASHED = 1 << 30
"""Bytes of a split up to which its shards are compared with their hashes, and its index with the shards, when they are opened.

It takes a second or two. Of larger splits a byte that has changed is noticed if it breaks the index or a JPEG.
"""


class Shards:
    """The images of one split of a folder of shards."""

    def __init__(self, folder: Path, split: str) -> None:
        """Open the index of ``split``. Raises ``UserError`` if a file is missing or damaged.

        Whatever the size of the split, files have the bytes that they should have, and the index points to bytes and classes that
        are there.
        """
        self.meta, self._folder = ShardMeta.read(folder / META), folder
        if split not in self.meta.splits:
            raise _damaged(folder / META)
        described, index = self.meta.splits[split], folder / f"{split}.npy"
        hashed = sum(shard.bytes for shard in described.shards) <= HASHED
        for shard in described.shards:
            path = folder / shard.file
            if not path.is_file() or path.stat().st_size != shard.bytes or (hashed and sha256_of(path) != shard.sha256):
                raise _damaged(path)
        self._files = [shard.file for shard in described.shards]
        self._tars = [np.memmap(folder / file, mode="r").data for file in self._files]
        self._index = read_array(index, REMEDY)
        if self._index.dtype != INDEX or self._index.shape != (described.images,):
            raise _damaged(index)
        sizes = np.array([shard.bytes for shard in described.shards], np.uint64)
        if not _fits(self._index, sizes, described.per_class, len(self.meta.classes)) or (hashed and not self._named()):
            raise _damaged(index)

    def __len__(self) -> int:
        """The number of images."""
        return len(self._index)

    @property
    def labels(self) -> NDArray[np.int32]:
        """The label of each image, int32 (images,)."""
        return np.ascontiguousarray(self._index["label"])

    @property
    def rows(self) -> NDArray[np.uint32]:
        """The manifest's number of each image, uint32 (images,)."""
        return np.ascontiguousarray(self._index["row"])

    def jpeg(self, image: int) -> memoryview:
        """The bytes of an image's JPEG, not copied."""
        entry = self._index[image]
        tar, offset = self._tars[int(entry["shard"])], int(entry["offset"])
        return tar[offset : offset + int(entry["length"])]

    def _named(self) -> bool:
        """Whether the members of the shards have the rows, lengths and labels that the index says."""
        for number, tar in enumerate(self._tars):
            entries = self._index[self._index["shard"] == number]
            content, offset, length = np.frombuffer(tar, np.uint8), entries["offset"].astype(np.int64), entries["length"]
            label = offset + -(-length.astype(np.int64) // BLOCK) * BLOCK + BLOCK
            if offset.min(initial=BLOCK) < BLOCK or label.max(initial=0) + BLOCK > len(content):
                return False
            # As write_member writes them: the name at the head of the block before, the size at its byte 124.
            for place, form, values in (
                (offset - BLOCK, "%08d.jpg", entries["row"]),
                (offset - BLOCK + 124, "%011o", length),
                (label, "%d", entries["label"]),
            ):
                wanted = np.char.mod(form, values.astype(np.int64)).astype(bytes)
                width = wanted.dtype.itemsize
                if (content[place[:, None] + np.arange(width)].view(f"S{width}")[:, 0] != wanted).any():
                    return False
        return True

    def decode(self, image: int, square: NDArray[np.uint8]) -> None:
        """Decode an image into ``square``, RGB uint8 (size, size, 3). Raises ``UserError`` if its JPEG is damaged."""
        try:
            found = simplejpeg.decode_jpeg(self.jpeg(image), fastdct=False, fastupsample=False, buffer=square).shape
        except ValueError:
            found = None
        if found != square.shape:
            entry = self._index[image]
            file = self._folder / self._files[int(entry["shard"])]
            raise _damaged(file, f"damaged (the JPEG of {entry['length']} bytes at byte {entry['offset']})")


def _fits(index: NDArray[Any], sizes: NDArray[np.uint64], per_class: list[int], classes: int) -> bool:
    """Whether all that the index points to is there: shards, bytes and classes."""
    if len(per_class) != classes or ((index["label"] < 0) | (index["label"] >= classes) | (index["shard"] >= len(sizes))).any():
        return False
    ends = sizes[index["shard"]]
    inside = (index["offset"] <= ends) & (index["length"] <= ends - index["offset"])
    return bool(inside.all()) and np.bincount(index["label"], minlength=classes).tolist() == per_class


def _damaged(path: Path, how: str = "missing or damaged") -> UserError:
    return UserError(f"{path} is {how}; {REMEDY}")
