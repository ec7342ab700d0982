"""Thousands of broken images, in classes with any name, are listed in little memory and time."""

import csv
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alexnet.errors import UserError
from alexnet.files.shard_index import ShardMeta
from stages import download, paths, pca, preprocess

MANY = 5_000
"""In each of two classes."""
NAMES = ["-rf ..", "a\nb\x1b[31m", "'quoted', \"twice\"", "👩‍👧 " + 60 * "猫"]


@pytest.fixture
def params(
    images: Path, shipped: Callable[[], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """The settings for two classes of good images, and two of the same with many broken ones."""
    monkeypatch.chdir(tmp_path)
    train = images / "train"
    good = (train / "cat/00.jpg").read_bytes()
    for old, new in zip(("cat", "dog"), NAMES, strict=False):
        (train / old).rename(train / new)
    for name in NAMES[2:]:
        (train / name).mkdir()
        for number in range(40):
            (train / name / f"{number}.jpg").write_bytes(good)
    for name in NAMES[1:3]:
        for number in range(MANY):
            broken = (b"", b"broken", good[:400], good[:-900], b"\xff\xd8\xff", b"RIFF\1\0\0\0WEBPVP8X\1\0\0\0")[number % 6]
            (train / name / f"broken {number}.jpg").write_bytes(broken)
    params = shipped()
    params["data"] |= {"source": "folder", "root": str(images), "max_rejects": 2 * MANY}
    params["preprocess"]["size"] = 32
    params["machine"]["workers"] = 1
    return params


def test_ten_thousand_broken_images_are_listed(params: dict[str, Any], tmp_path: Path) -> None:
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    for stage in (download, pca, preprocess):
        stage.main(stage.Params.read(params))
    with (paths.SHARDS / "rejects.csv").open(newline="") as file:
        rejects = list(csv.DictReader(file))
    meta = ShardMeta.read(paths.SHARDS / "meta.json")
    assert meta.classes == sorted(NAMES)
    assert meta.rejects == len(rejects) == 2 * MANY
    assert {row["path"].split("/")[1] for row in rejects} == set(NAMES[1:3])
    assert {row["reason"] for row in rejects} >= {"empty file", "truncated", "not a JPEG, PNG, WebP or BMP image"}
    assert sum(split.images for split in meta.splits.values()) == 160
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "KiB"
    assert time.process_time() - start < 60
    assert sorted(os.listdir(tmp_path)) == ["data", "images"]


def test_more_of_them_than_allowed_stop_the_stage_at_once(params: dict[str, Any]) -> None:
    params["data"]["max_rejects"] = 100
    download.main(download.Params.read(params))
    with pytest.raises(UserError, match="more than 100 images cannot be read") as refusal:
        preprocess.main(preprocess.Params.read(params))
    assert str(refusal.value).isprintable() and len(str(refusal.value)) < 1000
    assert len(list(csv.reader((paths.SHARDS / "rejects.csv").open(newline="")))) == 102
