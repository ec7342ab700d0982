"""CIFAR-10, Imagenette and ImageNet are read where they lie in their archives, from small ones of the same make."""

import gzip
import hashlib
import io
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torchvision  # type: ignore[import-untyped]
from PIL import Image
from scipy.io import savemat

from alexnet.config.data import Source
from alexnet.errors import UserError
from alexnet.prepare.pixels import canonical
from alexnet.prepare.squares import SquareSpec
from alexnet.sources import cifar10, imagenet, imagenette
from alexnet.sources.collect import collect as collect_source
from alexnet.sources.fetch import Archive
from alexnet.sources.hashes import hashed
from alexnet.sources.listing import Request, SourceListing
from alexnet.sources.manifest import Manifest, read_image
from alexnet.sources.tar import members


def tar(files: dict[str, bytes]) -> bytes:
    """An archive of {name: content} as tar makes it, with entries for folders."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for folder in sorted({name.rpartition("/")[0] for name in files} - {""}):
            info = tarfile.TarInfo(folder)
            info.type = tarfile.DIRTYPE
            archive.addfile(info)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def archive_in(downloads: Path, name: str, files: dict[str, bytes]) -> Archive:
    """The files as a gzipped tar that was fetched already."""
    downloads.mkdir()
    content = gzip.compress(tar(files))
    (downloads / name).write_bytes(content)
    return Archive(f"http://127.0.0.1:9/{name}", hashlib.md5(content).hexdigest(), len(content))


@pytest.fixture
def collect(
    tmp_path: Path, settings: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> Callable[[ModuleType, Archive], Manifest]:
    """The manifest of a source, another archive in place of its own, where nothing but that is there yet."""

    def run(source: ModuleType, archive: Archive) -> Manifest:
        name = source.__name__.rpartition(".")[2]
        monkeypatch.setattr(source, "ARCHIVE", archive)
        return collect_source(settings(source=name, root=None), 0, main=tmp_path, raw=tmp_path / "data/raw")[0]

    return run


def test_cifar10_records_are_read_in_place(tmp_path: Path, collect: Callable[..., Manifest]) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(20)[:, None] % 10
    batches = {
        f"cifar-10-batches-bin/{name}.bin": np.hstack([labels, rng.integers(0, 256, (20, 3072))]).astype(np.uint8)
        for name in ("data_batch_1", "data_batch_2", "test_batch")
    }
    files = {"cifar-10-batches-bin/batches.meta.txt": "\n".join(f"class{label}" for label in range(10)).encode() + b"\n\n"}
    archive = archive_in(
        tmp_path / "downloads", "cifar-10-binary.tar.gz", files | {name: batch.tobytes() for name, batch in batches.items()}
    )
    listed = collect(cifar10, archive)
    assert listed.classes == [f"class{label}" for label in range(10)]
    assert listed.pixels == "planar-rgb-32"
    rows = sorted(listed.rows, key=lambda row: row.offset)
    assert [row.split.replace("val", "train") for row in rows] == ["train"] * 40 + ["test"] * 20
    raw = listed.folder(tmp_path, tmp_path / "data/raw")
    for row, record in zip(rows, np.concatenate(list(batches.values())), strict=True):
        assert row.label == record[0]
        assert np.array_equal(
            canonical(read_image(raw, row), 32, listed.pixels), record[1:].reshape(3, 32, 32).transpose(1, 2, 0)
        )


def test_cifar10_is_torchvisions() -> None:
    assert cifar10.ARCHIVE.url.rpartition("/")[0] == torchvision.datasets.CIFAR10.url.rpartition("/")[0]


def test_imagenettes_validation_images_are_the_test(
    tmp_path: Path, patch: Callable[..., Image.Image], encoded: Callable[..., bytes], collect: Callable[..., Manifest]
) -> None:
    wnids = list(imagenette.CLASSES)
    files = {
        f"imagenette2-320/{folder}/{wnid}/{number}.JPEG": encoded(patch(10 * label + number), "JPEG")
        for folder, count in (("train", 3), ("val", 1))
        for label, wnid in enumerate(wnids)
        for number in range(count)
    }
    files["imagenette2-320/noisy_imagenette.csv"] = b"path,label"
    files[f"imagenette2-320/train/{wnids[0]}/._0.JPEG"] = b"junk"
    archive = archive_in(tmp_path / "downloads", "imagenette2-320.tgz", files)
    listed = collect(imagenette, archive)
    assert listed.classes[0] == "tench"
    assert Counter((row.split, row.label) for row in listed.rows) == {
        (split, label): count for split, count in (("train", 2), ("val", 1), ("test", 1)) for label in range(10)
    }
    images = [content for name, content in files.items() if name.endswith(".JPEG") and "._" not in name]
    raw = listed.folder(tmp_path, tmp_path / "data/raw")
    assert [read_image(raw, row) for row in sorted(listed.rows, key=lambda row: row.offset)] == images
    tests = [row for row in listed.rows if row.split == "test"]
    assert [read_image(raw, row) for row in tests] == images[30:]


Files = tuple[dict[str, dict[str, bytes]], dict[str, bytes], dict[str, bytes]]
WNIDS = {"n02012849": "crane, a bird", "n03126707": "crane", "n01440764": "tench, Tinca tinca"}


@pytest.fixture
def imagenet_files(encoded: Callable[..., bytes], patch: Callable[..., Image.Image]) -> Files:
    """{wnid: {name: JPEG}} of the training images, {name: JPEG} of the validation's, the development kit's files."""
    train = {
        wnid: {f"{wnid}_{number}.JPEG": encoded(patch(10 * at + number), "JPEG") for number in range(5)}
        for at, wnid in enumerate(WNIDS)
    }
    val = {f"ILSVRC2012_val_{number:08}.JPEG": encoded(patch(90 + number), "JPEG") for number in range(1, 7)}
    synsets = np.zeros((4, 1), [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("gloss", "O"), ("num_children", "O")])
    for at, (wnid, words) in enumerate(WNIDS.items()):
        synsets[at, 0] = (at + 1, wnid, words, "what it is", 0)
    synsets[3, 0] = (4, "n00000001", "an inner node", "not trained on", 2)
    mat = io.BytesIO()
    savemat(mat, {"synsets": synsets})
    kit = {"meta.mat": mat.getvalue(), "ILSVRC2012_validation_ground_truth.txt": b"1\n2\n3\n1\n2\n3\n"}
    return train, val, kit


@pytest.fixture
def packed(tmp_path: Path, imagenet_files: Files) -> Path:
    """ImageNet as it is handed out."""
    train, val, kit = imagenet_files
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / imagenet.TRAIN).write_bytes(tar({f"{wnid}.tar": tar(files) for wnid, files in train.items()}))
    (tmp_path / "packed" / imagenet.VAL).write_bytes(tar(val))
    content = gzip.compress(tar({f"{imagenet.KIT}/data/{name}": content for name, content in kit.items()}))
    (tmp_path / "packed" / f"{imagenet.KIT}.tar.gz").write_bytes(content)
    return tmp_path / "packed"


@pytest.fixture
def extracted(tmp_path: Path, packed: Path, imagenet_files: Files) -> Path:
    """The same, extracted."""
    train, val, _ = imagenet_files
    for wnid, files in train.items():
        (tmp_path / "extracted/train" / wnid).mkdir(parents=True)
        for name, content in files.items():
            (tmp_path / "extracted/train" / wnid / name).write_bytes(content)
    (tmp_path / "extracted/val").mkdir()
    for name, content in val.items():
        (tmp_path / "extracted/val" / name).write_bytes(content)
    with tarfile.open(packed / f"{imagenet.KIT}.tar.gz") as archive:
        archive.extractall(tmp_path / "extracted", filter="data")
    return tmp_path / "extracted"


def found_in(root: Path, settings: Callable[..., Source]) -> SourceListing:
    return imagenet.find(Request(settings(source="imagenet", root=str(root)), 0, main=root, raw=root / "raw"))


def listing(root: Path, settings: Callable[..., Source]) -> tuple[list[str], list[tuple[str, int, str]]]:
    found = found_in(root, settings)
    return found.classes, sorted((row.split, row.label, row.sha256) for row in hashed(found.rows, root))


def test_imagenet_in_tars_is_imagenet_extracted(
    packed: Path, extracted: Path, imagenet_files: Files, settings: Callable[..., Source]
) -> None:
    train, val, _ = imagenet_files
    wnids = sorted(WNIDS)
    truth = dict(zip(val, list(WNIDS) * 2, strict=True))
    images = [("train", wnids.index(wnid), image) for wnid, files in train.items() for image in files.values()]
    images += [("test", wnids.index(truth[name]), image) for name, image in val.items()]
    expected = sorted((split, label, hashlib.sha256(image).hexdigest()) for split, label, image in images)
    classes = ["tench", "crane (n02012849)", "crane (n03126707)"]
    assert listing(packed, settings) == (classes, expected)
    assert listing(extracted, settings) == (classes, expected)
    for name, wnid in truth.items():
        (extracted / "val" / wnid).mkdir(exist_ok=True)
        (extracted / "val" / name).rename(extracted / "val" / wnid / name)
    assert listing(extracted, settings) == (classes, expected)


@pytest.fixture
def from_kaggle(tmp_path: Path, extracted: Path, imagenet_files: Files) -> Path:
    """The same as Kaggle hands it out: without the development kit, and with an unlabelled test."""
    place = tmp_path / "kaggle/ILSVRC/Data/CLS-LOC"
    (place / "test").mkdir(parents=True)
    (place / "test/ILSVRC2012_test_00000001.JPEG").write_bytes(b"unlabelled")
    for folder in ("train", "val"):
        (extracted / folder).rename(place / folder)
    boxes = [f"{wnid} 85 1 499 272 {wnid} 1 2 3 4 " for wnid in list(WNIDS) * 2]
    rows = "".join(f"{name.removesuffix('.JPEG')},{box}\n" for name, box in zip(imagenet_files[1], boxes, strict=True))
    (tmp_path / "kaggle" / imagenet.SOLUTION).write_text(f"ImageId,PredictionString\n{rows}")
    (tmp_path / "kaggle" / imagenet.NAMES).write_text("".join(f"{wnid} {words}\n" for wnid, words in WNIDS.items()))
    return tmp_path / "kaggle"


def test_imagenet_from_kaggle_is_imagenet(packed: Path, from_kaggle: Path, settings: Callable[..., Source]) -> None:
    assert listing(from_kaggle, settings) == listing(packed, settings)
    assert found_in(from_kaggle, settings).omissions.lines == [f"not used in {from_kaggle}/ILSVRC/Data/CLS-LOC: test"]
    # With Kaggle's texts beside the folders that are in ILSVRC.
    for name in (imagenet.SOLUTION, imagenet.NAMES):
        (from_kaggle / name).rename(from_kaggle / "ILSVRC" / name)
    assert listing(from_kaggle / "ILSVRC", settings) == listing(packed, settings)


def test_missing_and_damaged_files_from_kaggle_are_named(from_kaggle: Path, settings: Callable[..., Source]) -> None:
    (from_kaggle / "ILSVRC/Data/CLS-LOC/val/another.JPEG").touch()
    with pytest.raises(UserError, match=r"another.JPEG is not a validation image"):
        listing(from_kaggle, settings)
    for content in ("ImageId\nILSVRC2012_val_00000001\n", "ImageId,PredictionString\nILSVRC2012_val_00000001,\n"):
        (from_kaggle / imagenet.SOLUTION).write_text(content)
        with pytest.raises(UserError, match=f"{imagenet.SOLUTION} is damaged"):
            listing(from_kaggle, settings)
    (from_kaggle / imagenet.SOLUTION).unlink()
    with pytest.raises(UserError, match=f"has no {imagenet.SOLUTION}"):
        listing(from_kaggle, settings)
    with pytest.raises(UserError, match=f"has neither {imagenet.KIT}.tar.gz .* nor {imagenet.NAMES}"):
        listing(from_kaggle / "ILSVRC", settings)


def test_what_is_left_out_of_imagenets_folders_is_counted(extracted: Path, settings: Callable[..., Source]) -> None:
    whole = listing(extracted, settings)
    for name in ("train/n01440764/notes.txt", "train/n01440764/Thumbs.db", "train/stray.JPEG", "val/boxes.xml"):
        (extracted / name).touch()
    (extracted / "train/@eaDir").mkdir()
    assert listing(extracted, settings) == whole
    assert found_in(extracted, settings).omissions.summary() == "1 .txt, 1 .xml, 1 outside the class folders"


def test_images_in_nested_tars_decode(packed: Path, settings: Callable[..., Source]) -> None:
    found = found_in(packed, settings)
    rows = list(enumerate(hashed(found.rows, packed)))
    assert Manifest("imagenet", found.classes, True, "encoded", str(packed), []).folder(packed, packed) == packed
    squares = SquareSpec(packed, "encoded", 32).squares(rows)
    assert len([square for square in squares if isinstance(square, np.ndarray)]) == 21


def test_a_part_of_the_classes_can_be_trained_on(extracted: Path, settings: Callable[..., Source]) -> None:
    for path in (extracted / "train/n01440764").iterdir():
        path.unlink()
    (extracted / "train/n01440764").rmdir()
    classes, rows = listing(extracted, settings)
    assert classes == ["crane (n02012849)", "crane (n03126707)"]
    assert len([split for split, _, _ in rows if split == "test"]) == 4


def test_missing_and_damaged_imagenet_files_are_named(packed: Path, settings: Callable[..., Source]) -> None:
    content = (packed / imagenet.TRAIN).read_bytes()
    (packed / imagenet.TRAIN).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=f"{imagenet.TRAIN} is damaged"):
        listing(packed, settings)
    for name in (f"{imagenet.KIT}.tar.gz", imagenet.TRAIN, imagenet.VAL):
        (packed / name).rename(packed / "away")
        if name != imagenet.TRAIN:
            (packed / imagenet.TRAIN).write_bytes(content)
        with pytest.raises(UserError, match=name.partition(".")[0]):
            listing(packed, settings)
        (packed / "away").rename(packed / name)
    (packed / f"{imagenet.KIT}.tar.gz").write_bytes(b"junk")
    with pytest.raises(UserError, match=r"devkit_t12.tar.gz is damaged"):
        listing(packed, settings)


def test_a_tar_broken_in_its_midst_is_refused_not_cut_short(tmp_path: Path) -> None:
    content = bytearray(tar({"a": b"1" * 1000, "b": b"2" * 1000}))
    (tmp_path / "some.tar").write_bytes(content)
    assert [(name, size) for name, _, size in members(tmp_path / "some.tar")] == [("a", 1000), ("b", 1000)]
    content[1536:2048] = b"x" * 512  # b's header
    (tmp_path / "some.tar").write_bytes(content)
    with pytest.raises(UserError, match=r"some.tar is damaged"):
        list(members(tmp_path / "some.tar"))
