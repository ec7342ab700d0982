"""The stage preprocess on photographs of ImageNet's usual sizes, beside a plain Pillow script, and on two cores."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory

from PIL import Image

from alexnet.prepare.sharding import write_shards
from alexnet.prepare.squares import SquareSpec
from alexnet.sources.manifest import SPLITS, Manifest
from benchmarks.measure import Comparison, Contender, parser, rate, take_turns, tell

SIZE, QUALITY = 256, 95
SIZES = ((500, 375), (375, 500), (500, 333), (500, 375), (640, 480), (500, 375), (375, 500), (800, 600))
QUALITIES = (75, 90, 95, 85)
REPEATS = {"plain": 1, "one core": 3, "two cores": 6}
"""How often a contender handles the images in a turn: starting and ending the workers takes a tenth of a second."""


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    options = parser(__doc__, rounds=5)
    options.add_argument("--images", type=int, default=400, help="photographs that are made (default: %(default)s)")
    chosen = options.parse_args(arguments)
    # Not above: each worker imports this file, and would wait for scikit-learn.
    from benchmarks import photographs

    cores = sorted(os.sched_getaffinity(0))[:2]
    with TemporaryDirectory() as folder, ExitStack() as stack:
        root = Path(folder) / "photographs"
        listed = photographs.write(root, chosen.images, SIZES, QUALITIES)
        contenders: dict[str, Contender] = {}
        for name, repeats in REPEATS.items():
            call = stack.enter_context(pinned(set(cores if name == "two cores" else cores[:1])))
            out = Path(folder) / name
            if name == "plain":
                work = partial(plain, root, out)
            else:
                work = partial(ours, root, out, times(listed, repeats), len(cores) if name == "two cores" else 1)
            call(work)
            contenders[name] = partial(call, partial(rate, work, repeats * chosen.images))
        figures = take_turns(contenders, chosen.rounds)
    what = "preprocess: decode, 256x256, JPEG"
    unit, one = "images/s", figures["one core"]
    rows = [Comparison(f"{what}, one core", unit, one, "a plain Pillow script, one core", figures["plain"], 1.6)]
    if len(cores) == 2:
        rows.append(Comparison(f"{what}, two cores", unit, figures["two cores"], "one core of the same", one, 1.9))
    tell(rows, chosen)


@contextmanager
def pinned(cores: set[int]) -> Iterator[Callable[..., float]]:
    """Calls functions in a process of its own that has only these cores, as its workers have."""
    with ProcessPoolExecutor(1, get_context("spawn"), os.sched_setaffinity, (0, cores)) as pool:
        yield lambda work: pool.submit(work).result()


def times(listed: Manifest, repeats: int) -> Manifest:
    """The same images listed several times."""
    return replace(listed, rows=sorted(repeats * list(listed.rows), key=lambda row: SPLITS.index(row.split)))


def ours(root: Path, out: Path, listed: Manifest, workers: int) -> None:
    """The shards, as the stage writes them."""
    write_shards(out, listed, SquareSpec(root, listed.pixels, SIZE), quality=QUALITY, workers=workers, max_rejects=0)


def plain(root: Path, out: Path) -> None:
    """What one would write oneself: the shorter side to 256, the middle cut out, a file for a file."""
    rmtree(out, ignore_errors=True)
    for path in root.rglob("*.jpg"):
        with Image.open(path) as file:
            image = file.convert("RGB")
        scale = SIZE / min(image.size)
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
        left, top = (image.width - SIZE) // 2, (image.height - SIZE) // 2
        target = out / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        image.crop((left, top, left + SIZE, top + SIZE)).save(target, quality=QUALITY)


if __name__ == "__main__":
    main()
