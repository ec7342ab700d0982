"""The training's loader on one core, beside the bare decoding of its shards and torchvision's ImageFolder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import simplejpeg
import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder  # type: ignore[import-untyped]
from torchvision.transforms import v2  # type: ignore[import-untyped]

from alexnet.input.augment import Normalization, order, random_views
from alexnet.input.loader import BatchLoader, Transform
from alexnet.input.shards import Shards
from alexnet.models.numerics import prepare_process
from alexnet.prepare.sharding import write_shards
from alexnet.prepare.squares import SquareSpec
from benchmarks import photographs
from benchmarks.measure import Comparison, parser, rate, take_turns, tell

SIZE, CROP, BATCH, QUALITY = 256, 227, 128, 95


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    options = parser(__doc__, rounds=15)
    options.add_argument("--images", type=int, default=640, help="images that each contender reads (default: %(default)s)")
    chosen = options.parse_args(arguments)
    prepare_process(threads=1)
    with TemporaryDirectory() as folder:
        shards = made(Path(folder), chosen.images)
        loader = torchvisions(shards, Path(folder) / "squares")
        contenders = {
            "ours": partial(rate, partial(read, shards), len(shards)),
            "bare": partial(rate, partial(decode, shards), len(shards)),
            "torchvision": partial(rate, partial(walk, loader), len(shards)),
        }
        with one_core():
            for contender in contenders.values():
                contender()
            figures = take_turns(contenders, chosen.rounds)
    what = f"Loading: decode, crop, mirror, colour noise, {CROP}x{CROP}, one core"
    rows = [("simplejpeg's bare decoding", "bare", 0.65), ("torchvision, ImageFolder without colour noise", "torchvision", 2.0)]
    tell([Comparison(what, "images/s", figures["ours"], peer, figures[key], target) for peer, key, target in rows], chosen)


@contextmanager
def one_core() -> Iterator[None]:
    """Leave this thread, and the threads that it starts inside, one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def made(folder: Path, images: int) -> Shards:
    """The training images among ``images`` photographs as shards."""
    listed = photographs.write(folder / "photographs", images, [(320, 256), (256, 320)], [95])
    spec = SquareSpec(folder / "photographs", listed.pixels, SIZE)
    write_shards(folder / "shards", listed, spec, quality=QUALITY, workers=None, max_rejects=0)
    return Shards(folder / "shards", "train")


def read(shards: Shards) -> None:
    """An epoch, as the training's first rank reads it."""
    views = random_views(0, 1, len(shards), SIZE - CROP, flip=True, noise=5 * np.eye(3))
    transform = Transform(Normalization(torch.full((SIZE, SIZE, 3), 110.5), torch.ones(3)), CROP)
    for _ in BatchLoader(shards, transform, BATCH, torch.device("cpu"), threads=1).epoch(order(0, 1, len(shards)), views):
        pass


def decode(shards: Shards) -> None:
    """The same JPEGs to pixels, which are dropped."""
    for image in order(0, 1, len(shards)).tolist():
        simplejpeg.decode_jpeg(shards.jpeg(image))


def torchvisions(shards: Shards, folder: Path) -> DataLoader[Any]:
    """The same JPEGs as files of a folder, read the usual way."""
    for image, label in enumerate(shards.labels.tolist()):
        path = folder / str(label) / f"{image:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(shards.jpeg(image))
    steps = [
        v2.ToImage(),
        v2.RandomCrop(CROP),
        v2.RandomHorizontalFlip(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
    return DataLoader(ImageFolder(folder, v2.Compose(steps)), BATCH, shuffle=True)


def walk(loader: DataLoader[Any]) -> None:
    """An epoch."""
    for _ in loader:
        pass


if __name__ == "__main__":
    main()
