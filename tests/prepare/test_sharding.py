"""Shards are the same bytes whatever the workers, read by WebDataset, tar and our own reader."""

import csv
import hashlib
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import webdataset
from PIL import Image
from sklearn.datasets import load_sample_images

from alexnet.errors import UserError
from alexnet.input.shards import Shards
from alexnet.prepare import sharding
from alexnet.prepare.pixels import square
from alexnet.prepare.sharding import estimated_bytes, write_shards
from alexnet.prepare.squares import SquareSpec
from alexnet.prepare.workers import MEMORY
from alexnet.sources.manifest import Manifest, Row

REASON = "not a JPEG, PNG, WebP or BMP image"


@pytest.fixture
def write(tmp_path: Path, images: Path) -> Callable[..., Path]:
    """Writes a manifest's shards into a folder of the given name."""

    def run(manifest: Manifest, name: str = "shards", workers: int = 2, max_rejects: int = 0) -> Path:
        spec = SquareSpec(images, "encoded", 64)
        write_shards(tmp_path / name, manifest, spec, quality=95, workers=workers, max_rejects=max_rejects)
        return tmp_path / name

    return run


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_eight_workers_write_the_bytes_of_one(listed: Callable[[], Manifest], write: Callable[..., Path]) -> None:
    manifest = listed()
    assert contents(write(manifest, "one", 1)) == contents(write(manifest, "eight", 8))


def test_webdataset_tar_and_reader_see_the_same_images(listed: Callable[[], Manifest], write: Callable[..., Path]) -> None:
    manifest = listed()
    folder = write(manifest)
    for split in ("train", "val", "test"):
        shards = Shards(folder, split)
        read = [
            (int(sample["__key__"]), sample["jpg"], int(sample["cls"]))
            for sample in webdataset.WebDataset(str(folder / f"{split}-00000.tar"), shardshuffle=False)
        ]
        assert read == [(int(shards.rows[i]), bytes(shards.jpeg(i)), int(shards.labels[i])) for i in range(len(shards))]
        assert [(row, label) for row, _, label in read] == [(number, row.label) for number, row in manifest.of_split(split)]
        names = subprocess.run(
            ["tar", "tf", folder / f"{split}-00000.tar"], check=True, capture_output=True, text=True
        ).stdout.split()
        assert names == [f"{row:08d}.{kind}" for row, _, _ in read for kind in ("jpg", "cls")]


def test_the_images_are_the_canonical_squares(listed: Callable[[], Manifest], write: Callable[..., Path], images: Path) -> None:
    manifest = listed()
    shards = Shards(write(manifest), "val")
    for i, expected in enumerate(SquareSpec(images, "encoded", 64).squares(manifest.of_split("val"))):
        stored = simplejpeg.decode_jpeg(shards.jpeg(i)).astype(float)
        assert np.abs(stored - expected).mean() < 6


def test_meta_tells_what_is_there(listed: Callable[[], Manifest], write: Callable[..., Path]) -> None:
    folder = write(listed())
    meta = json.loads((folder / "meta.json").read_text())
    assert (meta["source"], meta["classes"], meta["mirror"], meta["size"], meta["rejects"]) == (
        "folder",
        ["cat", "dog"],
        True,
        64,
        0,
    )
    assert {split: part["images"] for split, part in meta["splits"].items()} == {"train": 52, "val": 12, "test": 16}
    assert meta["splits"]["train"]["per_class"] == [26, 26]
    for part in meta["splits"].values():
        for shard in part["shards"]:
            content = (folder / shard["file"]).read_bytes()
            assert (shard["bytes"], shard["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


def test_a_full_tar_is_followed_by_another(
    listed: Callable[[], Manifest], write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharding, "SHARD_BYTES", 40_000)
    manifest = listed()
    many = write(manifest, "many")
    monkeypatch.undo()
    one = write(manifest, "one")
    assert len(list(many.glob("train-*.tar"))) > 2
    few, all_in_one = Shards(many, "train"), Shards(one, "train")
    assert [bytes(few.jpeg(i)) for i in range(len(few))] == [bytes(all_in_one.jpeg(i)) for i in range(len(few))]
    samples = webdataset.WebDataset([str(path) for path in sorted(many.glob("train-*.tar"))], shardshuffle=False)
    assert [int(sample["__key__"]) for sample in samples] == few.rows.tolist()


def test_hostile_files_are_listed_with_their_reasons(
    listed: Callable[[], Manifest], write: Callable[..., Path], images: Path, png: Callable[..., bytes]
) -> None:
    cat = images / "train/cat"
    (cat / "cut.jpg").write_bytes((cat / "00.jpg").read_bytes()[:700])
    (cat / "zero.jpg").touch()
    (cat / "text.jpg").write_text("a text")
    (cat / "vast.png").write_bytes(png(50_000, 50_000, bytes(100)))
    manifest = listed()
    folder = write(manifest, max_rejects=4)
    with (folder / "rejects.csv").open() as file:
        rejects = {row["path"].rpartition("/")[2]: row["reason"] for row in csv.DictReader(file)}
    assert rejects == {
        "cut.jpg": "truncated",
        "zero.jpg": "empty file",
        "text.jpg": REASON,
        "vast.png": "more than 178,956,970 pixels",
    }
    assert sum(len(Shards(folder, split)) for split in ("train", "val", "test")) == 80
    numbers = np.concatenate([Shards(folder, split).rows for split in ("train", "val", "test")])
    assert not {manifest.rows[number].path.rpartition("/")[2] for number in numbers} & set(rejects)
    with pytest.raises(UserError, match=r"more than 3 images cannot be read.*data\.max_rejects"):
        write(manifest, max_rejects=3)
    assert len((folder / "rejects.csv").read_text().splitlines()) == 5
    with pytest.raises(UserError, match=r"meta.json is missing"):
        Shards(folder, "train")


def test_a_file_larger_than_a_workers_memory_is_a_reject(
    listed: Callable[[], Manifest], write: Callable[..., Path], images: Path
) -> None:
    manifest = listed()
    film = images / "train/cat/film.jpg"
    with film.open("wb") as file:
        file.truncate(MEMORY + 1)
    rows = [*manifest.rows, Row("test", 0, "train/cat/film.jpg", 0, MEMORY + 1, "00")]
    folder = write(replace(manifest, rows=rows), max_rejects=1)
    assert (folder / "rejects.csv").read_text().splitlines()[1:] == ['"test","train/cat/film.jpg",0,"needs too much memory"']


@pytest.mark.parametrize("quality", [40, 75, 95, 100])
def test_the_room_asked_for_is_about_what_photographs_take(quality: int) -> None:
    photos = [square(Image.fromarray(photo), 256) for photo in load_sample_images().images]
    taken = sum(len(simplejpeg.encode_jpeg(photo, quality, "RGB", "420", fastdct=False)) for photo in photos)
    assert estimated_bytes(2, 256, quality) == pytest.approx(taken, rel=0.25)


def test_an_image_changed_since_the_scan_stops_the_stage(
    listed: Callable[[], Manifest], write: Callable[..., Path], images: Path
) -> None:
    manifest = listed()
    (images / "train/dog/07.jpg").write_bytes((images / "train/dog/08.jpg").read_bytes())
    with pytest.raises(UserError, match=r"dog/07.jpg has changed.*dvc repro -f -s download"):
        write(manifest)


def test_a_class_without_images_left_is_refused(listed: Callable[[], Manifest], write: Callable[..., Path], images: Path) -> None:
    for path in (images / "train/cat").iterdir():
        path.write_bytes(b"broken")
    manifest = listed()
    first = [row.path for row in manifest.rows if row.label == 0][:3]
    with pytest.raises(UserError) as refusal:
        write(manifest, max_rejects=100)
    # The list itself is gone if this ran in a temporary folder.
    assert str(refusal.value) == (
        f"class cat has no training image that can be read: {'; '.join(f'{path} ({REASON})' for path in first)}; ...; "
        "fix or remove them and run `dvc repro -f -s download`, then `dvc repro`"
    )


def test_a_split_without_images_left_is_refused(listed: Callable[[], Manifest], write: Callable[..., Path], images: Path) -> None:
    lost = [row.path for row in listed().rows if row.split == "val"]
    for path in lost:
        (images / path).write_bytes(b"broken")
    with pytest.raises(UserError) as refusal:
        write(listed(), max_rejects=100)
    assert str(refusal.value).startswith(f"the val split has no image that can be read: {lost[0]} ({REASON}); {lost[1]} (")


def test_missing_and_damaged_files_are_refused(listed: Callable[[], Manifest], write: Callable[..., Path]) -> None:
    folder = write(listed())
    tar = folder / "val-00000.tar"
    tar.write_bytes(tar.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"val-00000.tar is missing or damaged.*dvc repro"):
        Shards(folder, "val")
    tar.unlink()
    with pytest.raises(UserError, match=r"val-00000.tar is missing or damaged"):
        Shards(folder, "val")
    index = folder / "train.npy"
    index.write_bytes(index.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"train.npy is (missing or )?damaged"):
        Shards(folder, "train")
    np.save(index, np.zeros(52))
    with pytest.raises(UserError, match=r"train.npy is (missing or )?damaged"):
        Shards(folder, "train")
