"""The manifest comes back as it was written, and an image that has changed is noticed."""

import hashlib
import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from alexnet.errors import UserError
from alexnet.sources import manifest
from alexnet.sources.hashes import hashed
from alexnet.sources.manifest import Manifest, Row, read_image


def test_any_file_name_survives(tmp_path: Path) -> None:
    names = [
        "a,b.jpg",
        'quo"te.jpg',
        "new\nline.jpg",
        "\r",
        "a\rb.jpg",
        "cr\r",
        "crlf\r\n",
        "ü.jpg",
        os.fsdecode(b"not-utf8-\xff.jpg"),
    ]
    rows = [Row("train", 0, name, 0, 5, "00") for name in names]
    written = Manifest("folder", ["Käse"], True, "encoded", "~/images", rows)
    manifest.write(tmp_path, written)
    read = manifest.read(tmp_path)
    assert replace(read, rows=list(read.rows)) == written


def test_rows_are_kept_as_text_and_give_what_a_list_gives(tmp_path: Path) -> None:
    rows = [
        Row(("train", "val")[number // 2500], number % 2, f"a\n{number}.jpg", number, 5, f"{number:064}")
        for number in range(5000)
    ]
    manifest.write(tmp_path, Manifest("folder", ["a", "b"], True, "encoded", None, rows))
    tracemalloc.start()
    try:
        read = manifest.read(tmp_path)
        numbered = read.of_split("val")
        # A list of them takes more than 500 bytes a row.
        assert tracemalloc.get_traced_memory()[0] < 200 * len(rows)
    finally:
        tracemalloc.stop()
    assert (read.rows[7], read.rows[-1], read.rows[4990:6000]) == (rows[7], rows[-1], rows[4990:])
    assert list(numbered) == list(enumerate(rows))[2500:]
    assert (numbered[3], numbered[-2:]) == ((2503, rows[2503]), [(4998, rows[4998]), (4999, rows[4999])])
    with pytest.raises(IndexError):
        read.rows[5000]


def test_a_root_starts_at_the_main_repository_and_raw_without_one() -> None:
    there = Manifest("folder", [], True, "encoded", "images", [])
    assert there.folder(Path("/main"), Path("data/raw")) == Path("/main/images")
    beside = Manifest("digits", [], False, "encoded", None, [])
    assert beside.folder(Path("/main"), Path("data/raw")) == Path("data/raw")
    assert manifest.rooted(Path("/main"), "/elsewhere") == Path("/elsewhere")


def test_a_root_may_start_at_a_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/the/home")
    assert Manifest("folder", [], True, "encoded", "~/images", []).folder(Path("/main"), Path("raw")) == Path("/the/home/images")
    assert manifest.rooted(Path("/main"), "a~b/~") == Path("/main/a~b/~")
    with pytest.raises(UserError) as refusal:
        manifest.rooted(Path("/main"), "~nosuchuser/images")
    assert str(refusal.value) == (
        "data.root: ~nosuchuser/images is in the home folder ~nosuchuser, which is not known here; write it out"
    )


@pytest.mark.parametrize("content", ["", "split,label\n", "split,label,path,offset,bytes,sha256\ntrain,x,a,0,0,00\n"])
def test_a_damaged_manifest_is_refused(tmp_path: Path, content: str) -> None:
    manifest.write(tmp_path, Manifest("folder", [], True, "encoded", None, []))
    (tmp_path / "manifest.csv").write_text(content)
    with pytest.raises(UserError, match=r"damaged.*dvc repro -f -s download"):
        manifest.read(tmp_path)
    (tmp_path / "manifest.csv").unlink()
    with pytest.raises(UserError, match="missing"):
        manifest.read(tmp_path)


def test_a_changed_image_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "loose").write_bytes(b"loose image")
    (tmp_path / "archive").write_bytes(b"....first|second")
    loose, first = hashed([Row("train", 0, "loose"), Row("train", 0, "archive", 4, 5)], tmp_path)
    assert (read_image(tmp_path, loose), read_image(tmp_path, first)) == (b"loose image", b"first")
    (tmp_path / "archive").write_bytes(b"....FIRST|second")
    with pytest.raises(UserError, match=r"archive has changed.*`dvc repro -f -s download`.*then `dvc repro`"):
        read_image(tmp_path, first)
    (tmp_path / "loose").write_bytes(b"loose image, longer")
    with pytest.raises(UserError, match="loose has changed"):
        read_image(tmp_path, loose)
    (tmp_path / "loose").unlink()
    with pytest.raises(UserError, match=r"loose has changed.*No such file"):
        read_image(tmp_path, loose)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone.jpg cannot be read"):
        hashed([Row("train", 0, "gone.jpg")], tmp_path)


def test_a_vast_file_is_hashed_in_pieces(tmp_path: Path) -> None:
    with (tmp_path / "film.jpg").open("wb") as file:
        file.truncate(200 << 20)
    with (tmp_path / "film.jpg").open("rb") as file:
        expected = hashlib.file_digest(file, "sha256").hexdigest()
    tracemalloc.start()
    try:
        (row,) = hashed([Row("train", 0, "film.jpg")], tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
    assert (row.bytes, row.sha256) == (200 << 20, expected)
