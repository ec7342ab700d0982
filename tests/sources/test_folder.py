"""A user's folder is listed as it is, and what is wrong with it is said by name."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from alexnet.config.data import Source
from alexnet.errors import UserError
from alexnet.sources import scan
from alexnet.sources.collect import collect as collect_source
from alexnet.sources.listing import Omissions
from alexnet.sources.manifest import SPLITS, Manifest


@pytest.fixture
def collect(images: Path, settings: Callable[..., Source], tmp_path: Path) -> Callable[..., Manifest]:
    """The manifest of ``images``, settings changed."""

    def run(**changes: object) -> Manifest:
        return collect_source(settings(**changes), 0, main=tmp_path, raw=tmp_path / "raw")[0]

    return run


def test_images_are_found_below_each_class_in_any_case_and_hidden_ones_left_out(
    images: Path, collect: Callable[..., Manifest]
) -> None:
    deep = images / "train/cat/more/deeper"
    deep.mkdir(parents=True)
    for name in ("a.JPG", "b.jpeg", "c.Png", "d.webp", "e.BMP", ".hidden.jpg", "notes.txt", "._f.jpg"):
        (deep / name).write_bytes((images / "train/cat/00.jpg").read_bytes())
    (images / "train/.cache").mkdir()
    listed = collect()
    assert listed.classes == ["cat", "dog"]
    found = {row.path.rpartition("/")[2] for row in listed.rows if "deeper" in row.path}
    assert found == {"a.JPG", "b.jpeg", "c.Png", "d.webp", "e.BMP"}
    assert len(listed.rows) == 85
    assert all((row.label == 0) == row.path.startswith("train/cat/") for row in listed.rows)


def test_missing_splits_are_taken_from_train_and_own_ones_kept(images: Path, collect: Callable[..., Manifest]) -> None:
    split = [row.split for row in collect().rows]
    assert (split.count("test"), split.count("val"), split.count("train")) == (16, 12, 52)
    for name in ("cat", "dog"):
        (images / "val" / name).mkdir(parents=True)
        (images / "train" / name / "00.jpg").rename(images / "val" / name / "00.jpg")
    listed = collect()
    assert [row.path for row in listed.rows if row.split == "val"] == ["val/cat/00.jpg", "val/dog/00.jpg"]


def test_a_relative_root_starts_at_the_main_repository_and_is_kept_as_typed(
    collect: Callable[..., Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert collect().root == "images"
    assert collect(root=f"{tmp_path}/images").rows == collect().rows


def test_rows_are_ordered_and_a_rescan_finds_changes(images: Path, collect: Callable[..., Manifest]) -> None:
    listed = collect()
    order = [(SPLITS.index(row.split), row.path, row.offset) for row in listed.rows]
    assert order == sorted(order)
    assert collect() == listed
    (images / "train/cat/00.jpg").write_bytes(b"another")
    assert collect() != listed


def test_a_limit_is_applied_before_files_are_read(images: Path, collect: Callable[..., Manifest]) -> None:
    assert len(collect(limit=4).rows) == 12
    kept = {row.path for row in collect(limit=4).rows}
    for path in images.rglob("*.jpg"):
        if path.relative_to(images).as_posix() not in kept:
            path.unlink()
            path.symlink_to("nowhere")
    assert {row.path for row in collect(limit=4).rows} == kept


def test_a_zero_byte_image_is_listed(images: Path, collect: Callable[..., Manifest]) -> None:
    (images / "train/cat/zero.jpg").touch()
    assert [row.bytes for row in collect().rows if "zero" in row.path] == [0]


def test_only_regular_files_are_listed_and_links_to_them(images: Path) -> None:
    cat = images / "train/cat"
    os.mkfifo(cat / "pipe.jpg")
    (cat / "device.jpg").symlink_to("/dev/zero")
    (cat / "link.jpg").symlink_to("00.jpg")
    # The listing alone: a pipe that is opened is waited for without end.
    omissions = Omissions()
    names = {path.name for path in scan.images_below(cat, omissions)}
    assert names == {f"{number:02}.jpg" for number in range(40)} | {"link.jpg"}
    assert omissions.summary() == "2 of a special type"


def test_a_link_to_nowhere_is_refused_by_name(images: Path, collect: Callable[..., Manifest]) -> None:
    (images / "train/cat/astray.jpg").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"train/cat/astray.jpg cannot be read \(No such file"):
        collect()


def test_what_is_wrong_is_said_by_name(images: Path, collect: Callable[..., Manifest]) -> None:
    with pytest.raises(UserError, match=r"data.root: nowhere is not a folder"):
        collect(root="nowhere")
    (images / "val/cow").mkdir(parents=True)
    with pytest.raises(UserError, match="val has the class cow, which train lacks"):
        collect()
    (images / "val/cow").rmdir()
    with pytest.raises(UserError, match="val has no class folders"):
        collect()
    (images / "val").rmdir()
    (images / "train/emu").mkdir()
    (images / "train/emu/notes.txt").touch()
    with pytest.raises(UserError, match=r"class emu is empty: .*train/emu has no \.jpg"):
        collect()
    (images / "train/emu/one.jpg").touch()
    with pytest.raises(UserError, match="class emu has 1 images"):
        collect()
    (images / "train/emu").rename(images / "train/line\nbreak\r")
    with pytest.raises(UserError, match=r"^class line\\nbreak\\r has 1 images.*$"):
        collect()
    (images / "train/line\nbreak\r/one.jpg").unlink()
    with pytest.raises(UserError, match=r"^class line\\nbreak\\r is empty: .*/train/line\\nbreak\\r has no .*$"):
        collect()
    (images / "train").rename(images / "training")
    with pytest.raises(UserError, match="has no folder train"):
        collect()


def test_a_single_class_is_refused(images: Path, collect: Callable[..., Manifest]) -> None:
    shutil.rmtree(images / "train/dog")
    with pytest.raises(UserError, match="one class, cat; training needs at least two"):
        collect()


def test_no_classes_and_odd_class_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no class folders"):
        scan.class_folders(tmp_path)
    os.mkdir(os.fsencode(tmp_path) + b"/\xff")
    with pytest.raises(UserError, match="not UTF-8"):
        scan.class_folders(tmp_path)
