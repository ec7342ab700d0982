"""Read the shards: the JPEG of any image, through memory maps."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import UserError
from alexnet.files.shard_index import INDEX, META, ShardMeta


class Shards:
    """The images of one split of a folder of shards."""

    def __init__(self, folder: Path, split: str) -> None:
        """Open the index of ``split``. Raises ``UserError`` if a file is missing or damaged."""
        self.meta = ShardMeta.read(folder / META)
        described, index = self.meta.splits[split], folder / f"{split}.npy"
        for shard in described.shards:
            path = folder / shard.file
            if not path.is_file() or path.stat().st_size != shard.bytes:
                raise _damaged(path)
        self._tars = [np.memmap(folder / shard.file, mode="r").data for shard in described.shards]
        try:
            self._index: NDArray[Any] = np.load(index, mmap_mode="r")
        except (OSError, ValueError, EOFError):
            raise _damaged(index) from None
        if self._index.dtype != INDEX or len(self) != described.images:
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


def _damaged(path: Path) -> UserError:
    return UserError(f"{path} is missing or damaged; run `dvc repro -f -s preprocess` to make it again")
