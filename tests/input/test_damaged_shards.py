"""Shards that are not as they were written are refused by the name of the file; nothing outside them is read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.small_shards import noise, write_split
from hypothesis import given
from hypothesis import strategies as st

from alexnet.errors import UserError
from alexnet.files.shard_index import INDEX
from alexnet.input import shards as module
from alexnet.input.shards import Shards

REMEDY = "run `dvc repro -f -s preprocess` to make it again"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound") / "shards"
    write_split(folder, [(jpeg, at % 3, 2 * at) for at, jpeg in enumerate(noise(7))], classes=3, a_shard=4)
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    """Shards to damage."""
    return Path(shutil.copytree(sound, tmp_path / "shards"))


def content(shards: Shards) -> list[object]:
    jpegs = [bytes(shards.jpeg(image)) for image in range(len(shards))]
    return [shards.meta.classes, jpegs, shards.labels.tolist(), shards.rows.tolist()]


def refused(folder: Path, file: str) -> None:
    with pytest.raises(UserError) as refusal:
        Shards(folder, "train")
    assert str(refusal.value).startswith(f"{folder / file} is ")
    assert str(refusal.value).count("\n") == 0


@given(st.sampled_from(["train-00000.tar", "train-00001.tar", "train.npy"]), st.integers(0, 10**9), st.integers(1, 255))
def test_a_changed_byte_is_noticed(sound: Path, tmp_path: Path, file: str, at: int, bits: int) -> None:
    folder = Path(shutil.copytree(sound, tmp_path / "shards", dirs_exist_ok=True))
    changed = bytearray((folder / file).read_bytes())
    changed[at % len(changed)] ^= bits
    (folder / file).write_bytes(changed)
    try:
        assert content(Shards(folder, "train")) == content(Shards(sound, "train"))  # in the padding of the index's header
    except UserError as refusal:
        assert str(refusal).startswith(f"{folder / file} is ") and str(refusal).endswith(f"; {REMEDY}")


@pytest.mark.parametrize("file", ["train-00000.tar", "train-00001.tar", "train.npy", "meta.json"])
def test_a_file_cut_short_or_missing_is_refused(folder: Path, file: str) -> None:
    (folder / file).write_bytes((folder / file).read_bytes()[:-40])
    refused(folder, file)
    (folder / file).write_bytes(b"")
    refused(folder, file)
    (folder / file).unlink()
    refused(folder, file)


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("shard", 2),
        ("shard", 2**32 - 1),
        ("offset", 2**63),
        ("offset", 2**64 - 600),
        ("length", 2**32 - 1),
        ("label", 3),
        ("label", -1),
    ],
)
def test_an_index_that_points_outside_is_refused_whatever_the_size(
    folder: Path, field: str, value: int, small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HASHED", 1 << 30 if small else 0)
    index = np.load(folder / "train.npy")
    index[field][5] = value
    np.save(folder / "train.npy", index)
    refused(folder, "train.npy")


def test_an_index_of_another_shape_or_kind_is_refused(folder: Path) -> None:
    for index in (np.zeros((7, 1), INDEX), np.zeros(7), np.array([None] * 7), np.zeros(6, INDEX)):
        np.save(folder / "train.npy", index, allow_pickle=True)
        refused(folder, "train.npy")
    vast = (folder / "train.npy").read_bytes()
    (folder / "train.npy").write_bytes(vast.replace(b"(6,)", b"(9" + b"0" * 15 + b",)", 1).replace(b"(6,)", b"(9,)"))
    refused(folder, "train.npy")


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a file elsewhere": lambda meta: meta["splits"]["train"]["shards"][0].update(file="../../train-00000.tar"),
    "an absolute file": lambda meta: meta["splits"]["train"]["shards"][0].update(file="/etc/train-00000.tar"),
    "no such split": lambda meta: meta.update(splits={}),
    "a vast size": lambda meta: meta.update(size=10**9),
    "no bytes": lambda meta: meta["splits"]["train"]["shards"][0].update(bytes=0),
    "fewer than no images": lambda meta: meta["splits"]["train"].update(images=-1),
    "NaN": lambda meta: meta.update(size=float("nan")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_description_made_to_mislead_is_refused(folder: Path, change: str) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    CHANGES[change](meta)
    (folder / "meta.json").write_text(json.dumps(meta))
    refused(folder, "meta.json")


def test_a_description_nested_without_end_is_refused(folder: Path) -> None:
    (folder / "meta.json").write_text("[" * 100_000)
    refused(folder, "meta.json")


def test_a_large_split_is_read_without_its_hashes_and_a_broken_jpeg_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HASHED", 0)
    entry = np.load(folder / "train.npy")[5]
    changed = bytearray((folder / "train-00001.tar").read_bytes())
    changed[entry["offset"] : entry["offset"] + 300] = bytes(300)
    (folder / "train-00001.tar").write_bytes(changed)
    shards, square = Shards(folder, "train"), np.empty((32, 32, 3), np.uint8)
    shards.decode(4, square)
    with pytest.raises(UserError) as refusal:
        shards.decode(5, square)
    assert str(refusal.value) == (
        f"{folder}/train-00001.tar is damaged (the JPEG of {entry['length']} bytes at byte {entry['offset']}); {REMEDY}"
    )


@pytest.mark.parametrize("side", [16, 48, 4096])
def test_a_jpeg_of_another_size_is_refused(tmp_path: Path, side: int) -> None:
    write_split(tmp_path / "shards", [(jpeg, 0, 0) for jpeg in noise(1, side)], classes=1)
    shards = Shards(tmp_path / "shards", "train")
    with pytest.raises(UserError, match=r"train-00000\.tar is damaged"):
        shards.decode(0, np.empty((32, 32, 3), np.uint8))


@given(
    st.lists(st.tuples(st.binary(max_size=2000), st.integers(0, 4), st.integers(0, 10**7)), min_size=1, max_size=12),
    st.integers(1, 5),
)
def test_shards_come_back_as_they_were_written(tmp_path: Path, images: list[tuple[bytes, int, int]], a_shard: int) -> None:
    write_split(tmp_path / "shards", images, classes=5, a_shard=a_shard)
    shards = Shards(tmp_path / "shards", "train")
    assert content(shards)[1:] == [list(column) for column in zip(*images, strict=True)]
