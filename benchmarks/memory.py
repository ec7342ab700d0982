"""Peak memory of pca, preprocess and the training's loader over many images, beside a tenth of them."""

import hashlib
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil  # type: ignore[import-untyped]

from alexnet.prepare import color_stats, sharding
from alexnet.prepare.squares import SquareSpec
from alexnet.sources import manifest
from alexnet.sources.manifest import SPLITS, Manifest, Row
from benchmarks.measure import Comparison, parser, take_turns, tell

SIZE = 32
BYTES = 3 * SIZE * SIZE
PAUSE = 0.01
"""Seconds between two looks at the memory."""


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    options = parser(__doc__, rounds=3)
    options.add_argument("--images", type=int, default=50_000, help="images, and a tenth of them (default: %(default)s)")
    works = list(WORKS)
    options.add_argument("--only", nargs="+", choices=works, default=works, metavar="WORK", help=f"some of: {', '.join(works)}")
    chosen = options.parse_args(arguments)
    many, few = chosen.images, chosen.images // 10
    with TemporaryDirectory() as folder:
        for images in (many, few):
            make(Path(folder) / str(images), images)
        contenders = {
            f"{name} {images}": partial(peak, work, Path(folder) / str(images))
            for name, work in WORKS.items()
            if name in chosen.only
            for images in (many, few)
        }
        figures = take_turns(contenders, chosen.rounds)
    rows = [
        Comparison(
            f"Peak memory of {name}, {many:,} images",
            "MB",
            figures[f"{name} {many}"],
            f"{few:,} images",
            figures[f"{name} {few}"],
            1.1,
            at_most=True,
        )
        for name in chosen.only
    ]
    tell(rows, chosen)


def make(folder: Path, images: int) -> None:
    """A source of 32x32 pixels as CIFAR's, of random stripes, and its shards, which the loader needs."""
    folder.mkdir()
    random = np.random.default_rng(0)
    rows = []
    with (folder / "pixels.bin").open("wb") as file:
        file.write(b"\0")
        for image in range(images):
            payload = np.repeat(random.integers(0, 256, BYTES // 8, dtype=np.uint8), 8).tobytes()
            split = SPLITS[int(image >= 0.8 * images) + int(image >= 0.9 * images)]
            digest = hashlib.sha256(payload).hexdigest()
            rows.append(Row(split, image % 10, "pixels.bin", file.tell(), BYTES, digest))
            file.write(payload)
    manifest.write(folder, Manifest("cifar10", [str(label) for label in range(10)], True, "planar-rgb-32", None, rows))
    preprocess(folder)


def pca(folder: Path) -> None:
    """As the stage does it."""
    listed = manifest.read(folder)
    color_stats.collect(listed.of_split("train"), SquareSpec(folder, listed.pixels, SIZE), workers=2, max_rejects=0)


def preprocess(folder: Path) -> None:
    """As the stage does it."""
    listed = manifest.read(folder)
    spec = SquareSpec(folder, listed.pixels, SIZE)
    sharding.write_shards(folder / "shards", listed, spec, quality=95, workers=2, max_rejects=0)


def loader(folder: Path) -> None:
    """An epoch as the training's first rank reads it."""
    import torch

    from alexnet.input.augment import Normalization, order, random_views
    from alexnet.input.loader import BatchLoader, Transform
    from alexnet.input.shards import Shards
    from alexnet.models.numerics import prepare_process

    prepare_process(threads=1)
    shards = Shards(folder / "shards", "train")
    views = random_views(0, 1, len(shards), 8, flip=True, noise=np.eye(3))
    transform = Transform(Normalization(torch.zeros(SIZE, SIZE, 3), torch.ones(3), padding=4), SIZE)
    for _ in BatchLoader(shards, transform, 128, torch.device("cpu"), threads=1).epoch(order(0, 1, len(shards)), views):
        pass


WORKS: dict[str, Callable[[Path], None]] = {"pca": pca, "preprocess": preprocess, "the loader": loader}


def peak(work: Callable[[Path], None], folder: Path) -> float:
    """The most megabytes that a fresh process and all that it starts hold at once while it does the work.

    Memory of their own: pages of files that are mapped are left out, as the kernel drops them where room is short.
    """
    process = get_context("spawn").Process(target=work, args=(folder,))
    process.start()
    tree, most = psutil.Process(process.pid), 0
    while process.is_alive():
        try:
            most = max(most, sum(anonymous(one.pid) for one in (tree, *tree.children(recursive=True))))
        except psutil.NoSuchProcess:
            break
        time.sleep(PAUSE)
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{work.__name__} over {folder.name} images ended with {process.exitcode}; what it said stands above")
    return most / 1e6


def anonymous(pid: int) -> int:
    """Bytes of memory of a process that are no file's, 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    kilobytes = next((int(line.split()[1]) for line in lines if line.startswith("RssAnon:")), 0)
    return 1024 * kilobytes


if __name__ == "__main__":
    main()
