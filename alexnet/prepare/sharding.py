"""Write the shards: every image of a manifest as a square JPEG in WebDataset tars, with an index for each split."""

import shutil
from array import array
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from numpy.lib.recfunctions import unstructured_to_structured
from numpy.typing import NDArray

from alexnet.disk import require_free_space
from alexnet.errors import UserError
from alexnet.files.shard_index import INDEX, META, Shard, ShardMeta, SplitMeta
from alexnet.files.whole import sha256_of, whole_file
from alexnet.names import printable
from alexnet.prepare.squares import REMEDY, Numbered, Reject, SquareSpec, place, refuse_many, shown
from alexnet.prepare.workers import WorkerFailure, in_chunks
from alexnet.sources.manifest import SPLITS, Manifest, write_csv
from alexnet.sources.tar import END, write_member

SHARD_BYTES = 500_000_000
"""A tar ends when it is this large."""
BYTES_A_PIXEL = {1: 0.05, 50: 0.13, 75: 0.19, 90: 0.3, 95: 0.45, 100: 0.9}
"""Size of a photograph's JPEG by quality, measured on scikit-learn's two sample photographs at 256x256."""

Encoded = tuple[Numbered, bytes]


def encode(rows: Sequence[Numbered], spec: SquareSpec, quality: int) -> list[bytes | Reject]:
    """The square of each row as a JPEG, 4:2:0 as cameras' and ImageNet's are, or why there is none."""
    return [
        square if isinstance(square, Reject) else simplejpeg.encode_jpeg(square, quality, "RGB", "420", fastdct=False)
        for square in spec.squares(rows)
    ]


def estimated_bytes(images: int, size: int, quality: int) -> int:
    """Roughly how many bytes the shards of photographs take."""
    return int(images * size**2 * np.interp(quality, list(BYTES_A_PIXEL), list(BYTES_A_PIXEL.values())))


def write_shards(
    folder: Path, manifest: Manifest, spec: SquareSpec, *, quality: int, workers: int | str | None, max_rejects: int
) -> list[Reject]:
    """Empty ``folder``, then write the shards of all splits, their indexes, ``rejects.csv`` and, last, ``meta.json``.

    Returns the rejects. Raises ``UserError`` if there are more than ``max_rejects``, an image has changed since it was listed, a
    class has no training image, or the disk is too small.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    require_free_space(folder, estimated_bytes(len(manifest.rows), spec.size, quality), "shards")
    rejects: list[Reject] = []
    indexes = {split: np.zeros(0, INDEX) for split in SPLITS}
    try:
        stream = _encoded(manifest.numbered(), spec, quality, workers, rejects, max_rejects)
        for split, entries in groupby(stream, key=lambda entry: entry[0][1].split):
            indexes[split] = _write_split(folder, split, entries)
    finally:
        table = [(row.split, row.path, row.offset, reason) for row, reason in rejects]
        write_csv(folder / "rejects.csv", ("split", "path", "offset", "reason"), table)
    splits = {}
    for split, index in indexes.items():
        path = folder / f"{split}.npy"
        with whole_file(path) as file:
            np.save(file, index)
        splits[split] = _summary(folder, split, index, len(manifest.classes))
    _refuse_empty(splits, manifest.classes, rejects)
    meta = ShardMeta(
        source=manifest.source,
        classes=manifest.classes,
        mirror=manifest.mirror,
        size=spec.size,
        splits=splits,
        rejects=len(rejects),
    )
    meta.write(folder / META)
    return rejects


def _encoded(
    rows: Sequence[Numbered], spec: SquareSpec, quality: int, workers: int | str | None, rejects: list[Reject], max_rejects: int
) -> Iterator[Encoded]:
    work = partial(encode, spec=spec, quality=quality)
    for chunk, jpegs in in_chunks(work, rows, workers=workers, title="preprocess", place=place):
        results = [Reject(row, jpegs.reason) for _, row in chunk] if isinstance(jpegs, WorkerFailure) else jpegs
        for numbered, result in zip(chunk, results, strict=True):
            if isinstance(result, Reject):
                rejects.append(result)
                refuse_many(rejects, max_rejects)
            else:
                yield numbered, result


def _write_split(folder: Path, split: str, entries: Iterator[Encoded]) -> NDArray[Any]:
    table = array("Q")
    shard = 0
    while first := next(entries, None):
        with whole_file(folder / f"{split}-{shard:05d}.tar") as file:
            for (number, row), jpeg in chain([first], entries):
                offset = write_member(file, f"{number:08d}.jpg", jpeg)
                write_member(file, f"{number:08d}.cls", str(row.label).encode())
                table.extend((shard, offset, len(jpeg), row.label, number))
                if file.tell() >= SHARD_BYTES:
                    break
            file.write(END)
        shard += 1
    return unstructured_to_structured(np.asarray(table).reshape(-1, len(INDEX.names or ())), INDEX)


def _summary(folder: Path, split: str, index: NDArray[Any], classes: int) -> SplitMeta:
    files = sorted(folder.glob(f"{split}-*.tar"))
    return SplitMeta(
        images=len(index),
        per_class=np.bincount(index["label"], minlength=classes).tolist(),
        shards=[Shard(file=path.name, bytes=path.stat().st_size, sha256=sha256_of(path)) for path in files],
    )


def _refuse_empty(splits: dict[str, SplitMeta], classes: Sequence[str], rejects: Sequence[Reject]) -> None:
    for label, count in enumerate(splits["train"].per_class):
        if not count:
            lost = [reject for reject in rejects if (reject.row.split, reject.row.label) == ("train", label)]
            raise UserError(f"class {printable(classes[label])} has no training image that can be read: {shown(lost)}; {REMEDY}")
    for split, summary in splits.items():
        if not summary.images:
            lost = [reject for reject in rejects if reject.row.split == split]
            raise UserError(f"the {split} split has no image that can be read: {shown(lost)}; {REMEDY}")
