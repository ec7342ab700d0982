"""Folders in the layouts that people have: Tiny ImageNet, labelling services, storage devices, links."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from alexnet.config.data import Source
from alexnet.errors import UserError
from alexnet.sources import folder
from alexnet.sources.listing import Omissions, Request, SourceListing

WNIDS = ("n01443537", "n02012849", "n03126707")


@pytest.fixture
def found(images: Path, settings: Callable[..., Source]) -> Callable[[], SourceListing]:
    """Lists ``images``, or what has replaced it."""
    return lambda: folder.find(Request(settings(), 0, main=images.parent, raw=images.parent / "raw"))


def counts(listing: SourceListing) -> Counter[tuple[str, int]]:
    return Counter((row.split, row.label) for row in listing.rows)


def below(listing: SourceListing, part: str) -> list[str]:
    return sorted(row.path for row in listing.rows if part in row.path)


@pytest.fixture
def tiny(images: Path, patch: Callable[..., Image.Image]) -> Path:
    """Tiny ImageNet in place of ``images``: three classes, three training images each, six val, two test."""
    shutil.rmtree(images)
    files = {f"train/{wnid}/images/{wnid}_{number}.JPEG" for wnid in WNIDS for number in range(3)}
    files |= {f"val/images/val_{number}.JPEG" for number in range(6)} | {f"test/images/test_{number}.JPEG" for number in range(2)}
    for number, name in enumerate(sorted(files)):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        patch(number, 64, 64).save(images / name)
    for wnid in WNIDS:
        (images / f"train/{wnid}/{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t10\t63\t58\n")
    lines = [f"val_{number}.JPEG\t{WNIDS[number % 3]}\t0\t32\t44\t62\n" for number in range(6)]
    (images / "val/val_annotations.txt").write_text("".join(lines))
    words = "n00001740\tentity\nn01443537\tgoldfish, Carassius auratus\nn02012849\tcrane\nn03126707\tcrane\n"
    (images / "words.txt").write_text(words)
    (images / "wnids.txt").write_text("\n".join(reversed(WNIDS)))
    return images


def test_tiny_imagenet_is_read_as_it_comes(tiny: Path, found: Callable[[], SourceListing]) -> None:
    listing = found()
    assert listing.classes == ["goldfish", "crane (n02012849)", "crane (n03126707)"]
    assert counts(listing) == {("train", label): 3 for label in range(3)} | {("val", label): 2 for label in range(3)}
    assert {row.path: row.label for row in listing.rows if row.split == "val"} == {
        f"val/images/val_{number}.JPEG": number % 3 for number in range(6)
    }
    assert listing.omissions.lines == [
        f"{tiny}/test is not used, as no folder in it is a class; test images are taken from train"
    ]
    assert listing.omissions.summary() == "3 .txt"


def test_a_part_of_tiny_imagenets_classes_can_be_trained_on(tiny: Path, found: Callable[[], SourceListing]) -> None:
    shutil.rmtree(tiny / "train" / WNIDS[1])
    listing = found()
    assert listing.classes == ["goldfish", "crane"]
    assert counts(listing) == {("train", 0): 3, ("train", 1): 3, ("val", 0): 2, ("val", 1): 2}
    assert listing.omissions.summary() == "2 .txt, 2 of a class that train lacks"


def test_without_words_and_with_others_the_ids_are_the_names(tiny: Path, found: Callable[[], SourceListing]) -> None:
    (tiny / "words.txt").write_text("n01443537\tgoldfish\nnothing\n\n")
    assert found().classes == ["goldfish", *WNIDS[1:]]
    (tiny / "words.txt").unlink()
    assert found().classes == list(WNIDS)


def test_other_classes_are_not_renamed_by_a_file_of_words(images: Path, found: Callable[[], SourceListing]) -> None:
    (images / "words.txt").write_text("cat\ta small animal\n")
    assert found().classes == ["cat", "dog"]


def test_a_validation_image_without_a_line_is_refused_by_name(tiny: Path, found: Callable[[], SourceListing]) -> None:
    (tiny / "val/val_annotations.txt").write_text(f"val_0.JPEG\t{WNIDS[0]}\t0\t0\t9\t9\nval_1.JPEG\n")
    with pytest.raises(UserError, match=r"val/images/val_1.JPEG has no line in val_annotations.txt"):
        found()
    (tiny / "val/val_annotations.txt").unlink()
    with pytest.raises(UserError, match="val has the class images, which train lacks"):
        found()


@pytest.mark.parametrize("place", ["test", "test/images", "test/test"])
def test_an_unlabelled_test_is_named_and_not_used(place: str, images: Path, found: Callable[[], SourceListing]) -> None:
    (images / place).mkdir(parents=True)
    (images / "train/cat/00.jpg").rename(images / place / "1.jpg")
    listing = found()
    assert not below(listing, "test")
    assert [line.partition(",")[0] for line in listing.omissions.lines] == [f"{images}/test is not used"]


def test_a_labelled_test_is_used_and_checked(images: Path, found: Callable[[], SourceListing]) -> None:
    (images / "test/cat").mkdir(parents=True)
    (images / "train/cat/00.jpg").rename(images / "test/cat/00.jpg")
    assert below(found(), "test") == ["test/cat/00.jpg"]
    (images / "test/images").mkdir()
    with pytest.raises(UserError, match="test has the class images, which train lacks"):
        found()
    (images / "test/cat").rename(images / "test/Cat")
    with pytest.raises(UserError, match="test has the class Cat, which train lacks"):
        found()


def test_a_class_may_be_named_images(images: Path, found: Callable[[], SourceListing]) -> None:
    (images / "train/dog").rename(images / "train/images")
    (images / "val/images").mkdir(parents=True)
    (images / "train/images/00.jpg").rename(images / "val/images/00.jpg")
    (images / "val/val_annotations.txt").touch()
    assert below(found(), "val/") == ["val/images/00.jpg"]


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_the_folder_for_validation_has_three_names(name: str, images: Path, found: Callable[[], SourceListing]) -> None:
    for label in ("cat", "dog"):
        (images / name / label).mkdir(parents=True)
        (images / f"train/{label}/00.jpg").rename(images / name / label / "00.jpg")
    listing = found()
    assert [row.path for row in listing.rows if row.split == "val"] == [f"{name}/cat/00.jpg", f"{name}/dog/00.jpg"]
    assert listing.omissions == Omissions()


def test_other_folders_beside_train_are_named(images: Path, found: Callable[[], SourceListing]) -> None:
    shutil.copytree(images / "train", images / "val")
    for name in ("valid", "extra\n", ".git", "@eaDir", "__MACOSX"):
        (images / name).mkdir()
    (images / "README.txt").touch()
    assert found().omissions.lines == [f"not used in {images}: extra\\n, valid"]
    for number in range(5):
        (images / f"more{number}").mkdir()
    assert found().omissions.lines == [f"not used in {images}: extra\\n, more0, more1, more2, more3 and 2 more"]


def test_a_folder_around_the_right_one_is_refused_with_the_right_one(images: Path, found: Callable[[], SourceListing]) -> None:
    images.rename(images.parent / "inner")
    images.mkdir()
    (images.parent / "inner").rename(images / "inner")
    with pytest.raises(UserError, match=rf"has no folder train; set data.root to {images}/inner, which has one"):
        found()


def test_droppings_of_storage_devices_and_systems_are_left_out(images: Path, found: Callable[[], SourceListing]) -> None:
    whole = found()
    for name in ("@eaDir", "@eaDir/00.jpg", "#recycle", "#snapshot", "@Recycle", "$RECYCLE.BIN", "__MACOSX", "lost+found"):
        for place in ("train", "train/cat"):
            (images / place / name).mkdir(exist_ok=True)
            shutil.copy(images / "train/cat/00.jpg", images / place / name / "dropped.jpg")
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._00.jpg", "Icon\r"):
        (images / "train" / name).touch()
        (images / "train/cat" / name).touch()
    assert found() == whole


def test_the_other_extensions_of_jpegs_are_read(images: Path, found: Callable[[], SourceListing]) -> None:
    names = [f"train/cat/a.{extension}" for extension in ("JPE", "jfif", "pjp", "pjpeg")]
    for name in names:
        shutil.copy(images / "train/cat/00.jpg", images / name)
    assert below(found(), "/a.") == names


def test_what_is_left_out_is_counted_by_kind(images: Path, found: Callable[[], SourceListing]) -> None:
    for name in ("cat/1.gif", "cat/2.GIF", "dog/3.gif", "dog/notes.txt", "dog/README", "stray.jpg", "list.csv"):
        (images / "train" / name).touch()
    for name in ("cat/away", "cow"):
        (images / "train" / name).symlink_to("nowhere")
    expected = "3 .gif, 2 linked to nowhere, 1 .txt, 1 outside the class folders, 1 without extension"
    assert found().omissions.summary() == expected
    for number in range(9):
        (images / f"train/cat/file.{number}\n").touch()
    assert found().omissions.summary() == (
        r"3 .gif, 2 linked to nowhere, 1 .0\n, 1 .1\n, 1 .2\n, 1 .3\n, 1 .4\n, 1 .5\n, 6 others"
    )


def test_links_to_folders_of_images_are_followed(images: Path, tmp_path: Path, found: Callable[[], SourceListing]) -> None:
    (tmp_path / "elsewhere/deep").mkdir(parents=True)
    (images / "train/cat/00.jpg").rename(tmp_path / "elsewhere/00.jpg")
    (images / "train/cat/01.jpg").rename(tmp_path / "elsewhere/deep/01.jpg")
    (images / "train/cat/more").symlink_to(tmp_path / "elsewhere")
    (images / "train/emu").symlink_to(tmp_path / "elsewhere")
    listing = found()
    assert listing.classes == ["cat", "dog", "emu"]
    assert below(listing, "/more/") == ["train/cat/more/00.jpg", "train/cat/more/deep/01.jpg"]
    assert below(listing, "/emu/") == ["train/emu/00.jpg", "train/emu/deep/01.jpg"]


def test_links_in_a_circle_or_to_the_same_images_list_none_twice(
    images: Path, tmp_path: Path, found: Callable[[], SourceListing]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "deep").mkdir(parents=True)
    (images / "train/cat/real").mkdir()
    (images / "train/cat/00.jpg").rename(images / "train/cat/real/00.jpg")
    (images / "train/cat/01.jpg").rename(elsewhere / "deep/01.jpg")
    whole = len(found().rows)
    links: dict[Path, str | Path] = {
        images / "train/cat/all": "..",
        images / "train/cat/again": "real",
        images / "train/cat/b": elsewhere / "deep",
        images / "train/cat/c": elsewhere,
        elsewhere / "back": images,
        elsewhere / "itself": ".",
    }
    for link, target in links.items():
        link.symlink_to(target)
    listing = found()
    assert len(listing.rows) == whole + 1
    assert below(listing, "real") == ["train/cat/real/00.jpg"]
    assert below(listing, "01.jpg") == ["train/cat/b/01.jpg", "train/dog/01.jpg"]
    # again, c/deep and itself; all and back.
    assert listing.omissions.summary() == "3 linked a second time, 2 linked in a circle"


def test_a_split_that_is_a_link_to_nowhere_is_refused(images: Path, found: Callable[[], SourceListing]) -> None:
    (images / "valid").symlink_to("not mounted")
    with pytest.raises(UserError, match="valid is a link to nowhere"):
        found()
