"""What is measured at scale are real files, ImageNet's rows, and all that a program takes with its children."""

import sys
from pathlib import Path

import pytest

from alexnet.files.whole import sha256_of
from alexnet.input import shards
from alexnet.input.shards import Shards
from alexnet.prepare.pixels import decode
from alexnet.sources import manifest
from benchmarks import imagenet, scale
from stages import paths

CHILD = "import subprocess, sys, time; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"
WORK = "import time; held = bytearray(200_000_000)\nwhile time.process_time() < 0.6: pass\ntime.sleep(0.4)"


def test_no_two_files_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "FOLDERS", 3)
    scale.write(tmp_path, 100)
    files = list(tmp_path.glob("train/class*/*.jpg"))
    assert len(files) == 100 == len(set(map(sha256_of, files)))
    assert {decode(file.read_bytes()).size for file in files} == {(scale.SIDE, scale.SIDE)}


def test_a_program_is_watched_with_its_children_and_named_where_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "PAUSE", 0.05)
    use = scale.watched(tmp_path, sys.executable, "-c", CHILD, WORK)
    assert use.computing >= 0.5 and use.seconds >= 1 and use.peak >= 200
    with pytest.raises(RuntimeError, match=r"ended with 3: no such thing"):
        scale.watched(tmp_path, sys.executable, "-c", "import sys; print('no such thing'); sys.exit(3)")


def test_the_rows_that_are_made_up_are_a_manifest_and_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(imagenet, "IMAGENET", {"train": 3000, "val": 1000, "test": 2000})
    monkeypatch.setattr(imagenet, "SHARD", 700)
    monkeypatch.setattr(shards, "HASHED", 0)  # as of large sets, whose hashes are not checked when they are opened
    for work in imagenet.WORKS.values():
        work()
    listed = manifest.read(paths.RAW)
    assert [len(listed.of_split(split)) for split in manifest.SPLITS] == [3000, 1000, 2000]
    assert [len(Shards(paths.SHARDS, split)) for split in manifest.SPLITS] == [3000, 1000, 2000]
    assert len(list(paths.SHARDS.glob("train-*.tar"))) == 5


def test_a_stage_is_compared_by_the_image_and_dvc_as_it_is() -> None:
    figures = {(images, stage): [images / 100] for images in (10, 1000) for stage in scale.STAGES}
    figures |= {(images, scale.REPRO): [2.0] for images in (10, 1000, imagenet.IMAGES)}
    rows = scale.comparisons(figures, 10, 1000)
    assert [row.ratio for row in rows] == 5 * [1]
    assert all(row.met and row.at_most for row in rows)
