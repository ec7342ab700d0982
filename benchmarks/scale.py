"""The stages that prepare images, and DVC, at the size of large data sets: time and memory by the number of images."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil  # type: ignore[import-untyped]
from ruamel.yaml import YAML

from alexnet.files.shard_index import INDEX, META, Shard, ShardMeta, SplitMeta
from alexnet.input.shards import Shards
from alexnet.sources import manifest
from alexnet.sources.imagenet import TRAIN, VAL
from alexnet.sources.manifest import SPLITS, Manifest, Row
from benchmarks.memory import anonymous
from benchmarks.paper import PAPER
from benchmarks.workflow import ROOT, execute
from stages import paths
from workflow.recipe import applied

STAGES = ("download", "pca", "preprocess")
IMAGENET = {"train": 1_268_356, "val": 12_811, "test": 50_000}
"""Images of ILSVRC 2012 in each split of the recipe paper-imagenet, which validates on 1 % of the training images."""
CLASSES = 1000
PHOTOGRAPH = 110_000
"""Bytes of an image in ImageNet's tars."""
SQUARE = 35_000
"""Bytes of its square in the shards."""
SHARD = 14_000
"""Squares in a shard."""
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
    """Print a table for each part."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    options.add_argument("folder", type=Path, nargs="?", help="with train/<class>/ and JPEGs; without it, the last part alone")
    options.add_argument("--images", type=int, nargs="+", default=[10_000, 30_000], help="of the folder (default: %(default)s)")
    options.add_argument("--scratch", type=Path, help="where the files are made (default: the temporary folder)")
    chosen = options.parse_args(arguments)
    head = "Time | Of cores | Peak memory |\n|---|---|---|---|---|"
    with TemporaryDirectory(dir=chosen.scratch) as name:
        if chosen.folder:
            print(f"| Images | Stage | {head}", flush=True)
            for images in chosen.images:
                place = Path(name) / str(images)
                link(chosen.folder / "train", place / "images/train", images)
                settings(place, {"data.source": "folder", "data.root": "images"})
                for stage in STAGES:
                    print(watched(place, sys.executable, "-m", f"stages.{stage}").row(f"{images:,}", stage), flush=True)
        print(f"\n| Rows | Of ImageNet | {head}", flush=True)
        for what, use in whole(Path(name) / "whole"):
            print(use.row(f"{sum(IMAGENET.values()):,}", what), flush=True)


def link(source: Path, target: Path, images: int) -> None:
    """Link ``images`` files of ``source`` into ``target``, as many of each class, again under other names if need be."""
    folders = [path for path in sorted(source.iterdir()) if path.is_dir()]
    for label, folder in enumerate(folders):
        (target / folder.name).mkdir(parents=True)
        files = sorted(folder.iterdir())
        for number in range(images // len(folders) + (label < images % len(folders))):
            file = files[number % len(files)]
            (target / folder.name / f"{number // len(files)}-{file.name}").symlink_to(file.resolve())


def settings(folder: Path, changes: dict[str, object]) -> None:
    """Write the shipped params.yaml with ``changes`` into ``folder``."""
    YAML().dump(applied(PAPER, changes), folder / paths.PARAMS)


def watched(folder: Path, *command: str) -> Use:
    """Run a command in ``folder``. Raises ``RuntimeError`` with what it said if it fails."""
    begun, most = time.perf_counter(), 0
    spent: dict[int, float] = {}
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with (folder / SAID).open("w+") as said:
        process = psutil.Popen(command, cwd=folder, env=environment, stdout=said, stderr=said)
        while process.poll() is None:
            try:
                tree = [process, *process.children(recursive=True)]
                most = max(most, sum(anonymous(one.pid) for one in tree))
                spent |= {one.pid: sum(one.cpu_times()[:2]) for one in tree}
            except psutil.NoSuchProcess:
                pass
            time.sleep(PAUSE)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {said.read()[-2000:]}")
    return Use(time.perf_counter() - begun, sum(spent.values()), most / 1e6)


def whole(folder: Path) -> Iterator[tuple[str, Use]]:
    """What is done with ImageNet's manifest and index, made up of as many rows; its shards are holes."""
    execute(ROOT, "git", "clone", "-q", f"file://{ROOT}", str(folder))
    settings(folder, {"data.source": "imagenet", "data.root": "imagenet"})
    for name, work in WORKS.items():
        yield name, watched(folder, sys.executable, "-c", f"from benchmarks.scale import {work.__name__} as work; work()")
    # DVC looks at a file, and does not read it again, whatever its size.
    for shard in (folder / paths.SHARDS).glob("*.tar"):
        os.truncate(shard, 1 << 20)
    (folder / paths.EIGENBASIS).write_text("{}\n")
    (folder / paths.MEAN).write_bytes(b"")
    execute(folder, "dvc", "commit", "-f", *STAGES)
    for command, words in (("status", "up to date"), ("repro", "up to date")):
        use = watched(folder, sys.executable, "-m", "dvc", command, *STAGES)
        if words not in (folder / SAID).read_text():
            raise RuntimeError(f"`dvc {command}` should have nothing to do, but it says: {(folder / SAID).read_text()[-500:]}")
        yield f"`dvc {command}` with nothing to do", use


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


if __name__ == "__main__":
    main()
