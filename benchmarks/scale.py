"""The stages that prepare images, and DVC with nothing to do, on many files and on ImageNet's rows, beside fewer of them."""

import os
import resource
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory

import numpy as np
import psutil  # type: ignore[import-untyped]
import simplejpeg
from ruamel.yaml import YAML
from sklearn.datasets import load_sample_images

from alexnet.signals import signal_at_parents_end
from benchmarks.imagenet import IMAGES, WORKS
from benchmarks.measure import Comparison, parser, tell
from benchmarks.memory import anonymous
from benchmarks.paper import PAPER
from benchmarks.workflow import ROOT, execute
from stages import paths
from workflow.recipe import applied

STAGES = ("download", "pca", "preprocess")
SIZES = [2_000, 20_000]
SIDE, FOLDERS = 64, 100
"""Pixels of the side of a file's image, and classes."""
STATUS, REPRO = "`dvc status` with nothing to do", "`dvc repro` with nothing to do"
SAID = "said.txt"
"""What a program that is watched prints."""
PAUSE = 0.2
"""Seconds between two looks at the processes."""


@dataclass
class Use:
    """What a program and all that it started took."""

    seconds: float
    """By the clock."""
    computing: float
    """Seconds of cores, which other programs on the machine hardly change."""
    peak: float
    """The most megabytes of its own memory at once."""

    def row(self, *names: object) -> str:
        """As a row of the table."""
        return f"| {' | '.join(map(str, names))} | {self.seconds:.1f} s | {self.computing:.1f} s | {self.peak:,.0f} MB |"


def main(arguments: list[str] | None = None) -> None:
    """Print a table of all figures, and a second one of those that should not grow with the images."""
    options = parser(__doc__ or "", rounds=1)
    options.add_argument("--images", type=int, nargs="+", default=SIZES, help="files that are made (default: %(default)s)")
    options.add_argument("--scratch", type=Path, help="where they are made (default: the temporary folder)")
    chosen = options.parse_args(arguments)
    figures: dict[tuple[int, str], list[float]] = defaultdict(list)
    print("| Images | What | Time | Of cores | Peak memory |\n|---|---|---|---|---|", flush=True)
    for _ in range(chosen.rounds):
        with TemporaryDirectory(dir=chosen.scratch) as folder:
            for images, what, use in chain(real(Path(folder), chosen.images), whole(Path(folder) / "whole")):
                print(use.row(f"{images:,}", what), flush=True)
                figures[images, what].append(use.computing)
    print()
    tell(comparisons(figures, min(chosen.images), max(chosen.images)), chosen)


def comparisons(figures: Mapping[tuple[int, str], list[float]], least: int, most: int) -> list[Comparison]:
    """Seconds of cores beside those of fewer images: of the stages for a thousand images, of DVC as they are."""
    rows = []
    for stage in STAGES:
        many, few = ([1000 / images * seconds for seconds in figures[images, stage]] for images in (most, least))
        what = f"{stage}, {most:,} images: 1,000 of them"
        rows.append(Comparison(what, "s", many, f"{least:,} images", few, 1.1, at_most=True))
    for images in (most, IMAGES):
        many, few = figures[images, REPRO], figures[least, REPRO]
        rows.append(Comparison(f"{REPRO}, {images:,} images", "s", many, f"{least:,} images", few, 1.5, at_most=True))
    return rows


def real(folder: Path, sizes: Iterable[int]) -> Iterator[tuple[int, str, Use]]:
    """The stages on files, and DVC when they have run, in a clone of this repository for each number of files.

    The files are outside the clone, in which DVC would look at each of them.
    """
    for images in sizes:
        place, root = folder / str(images), folder / f"{images}-images"
        clone(place, {"data.source": "folder", "data.root": str(root.resolve())})
        write(root, images)
        for stage in STAGES:
            yield images, stage, watched(place, sys.executable, "-m", f"stages.{stage}")
        for what, use in with_nothing_to_do(place):
            yield images, what, use
        rmtree(place)
        rmtree(root)


def write(root: Path, images: int) -> None:
    """Write that many JPEG files into train/<class>/, each another piece of scikit-learn's two photographs."""
    photos = np.stack(load_sample_images().images)
    corners = (len(photos), photos.shape[1] - SIDE, photos.shape[2] - SIDE)
    for label in range(FOLDERS):
        (root / "train" / f"class{label}").mkdir(parents=True)
    for number, place in enumerate(np.random.default_rng(0).permutation(np.prod(corners))[:images]):
        photo, top, left = np.unravel_index(place, corners)
        piece = np.ascontiguousarray(photos[photo, top : top + SIDE, left : left + SIDE])
        file = root / "train" / f"class{number % FOLDERS}" / f"{number:07d}.jpg"
        file.write_bytes(simplejpeg.encode_jpeg(piece, 90, "RGB", "420"))


def clone(folder: Path, changes: dict[str, object]) -> None:
    """Clone this repository's last commit into ``folder``, with ``changes`` on top of the shipped settings."""
    execute(ROOT, "git", "clone", "-q", f"file://{ROOT}", str(folder))
    settings(folder, changes)


def settings(folder: Path, changes: dict[str, object]) -> None:
    """Write the shipped params.yaml with ``changes`` into ``folder``."""
    YAML().dump(applied(PAPER, changes), folder / paths.PARAMS)


def watched(folder: Path, *command: str) -> Use:
    """Run a command in ``folder``. Raises ``RuntimeError`` with what it said if it fails."""
    begun, before, most = time.perf_counter(), _computed(), 0
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with (folder / SAID).open("w+") as said:
        ends_with_this = partial(signal_at_parents_end, signal.SIGTERM)
        process = psutil.Popen(command, cwd=folder, env=environment, stdout=said, stderr=said, preexec_fn=ends_with_this)
        while process.poll() is None:
            with suppress(psutil.NoSuchProcess):
                most = max(most, sum(anonymous(one.pid) for one in [process, *process.children(recursive=True)]))
            time.sleep(PAUSE)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {said.read()[-2000:]}")
    return Use(time.perf_counter() - begun, _computed() - before, most / 1e6)


def _computed() -> float:
    """Seconds of all cores that programs have taken, up to now, with their children; only those that have ended count."""
    use = resource.getrusage(resource.RUSAGE_CHILDREN)
    return use.ru_utime + use.ru_stime


def whole(folder: Path) -> Iterator[tuple[int, str, Use]]:
    """What is done with ImageNet's manifest and index, made up of as many rows; its shards are holes."""
    clone(folder, {"data.source": "imagenet", "data.root": "imagenet"})
    for name, work in WORKS.items():
        yield (
            IMAGES,
            name,
            watched(folder, sys.executable, "-c", f"from benchmarks.imagenet import {work.__name__} as work; work()"),
        )
    # DVC looks at a file, and does not read it again, whatever its size.
    for shard in (folder / paths.SHARDS).glob("*.tar"):
        os.truncate(shard, 1 << 20)
    (folder / paths.EIGENBASIS).write_text("{}\n")
    (folder / paths.MEAN).write_bytes(b"")
    for what, use in with_nothing_to_do(folder):
        yield IMAGES, what, use


def with_nothing_to_do(folder: Path) -> Iterator[tuple[str, Use]]:
    """Have DVC take what is in ``folder`` as what the stages gave; then its two commands that look for changes.

    Raises ``RuntimeError`` if they find one.
    """
    execute(folder, "dvc", "commit", "-f", *STAGES)
    for what, command in ((STATUS, "status"), (REPRO, "repro")):
        use = watched(folder, sys.executable, "-m", "dvc", command, *STAGES)
        said = (folder / SAID).read_text()
        if "up to date" not in said:
            raise RuntimeError(f"`dvc {command}` should have nothing to do, but it says: {said[-500:]}")
        yield what, use


if __name__ == "__main__":
    main()
