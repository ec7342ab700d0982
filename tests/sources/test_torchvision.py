"""torchvision's data sets are read whole and unchanged, from small archives in their true layout, and others are rejected."""

import functools
import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import torchvision  # type: ignore[import-untyped]
from helpers.pictures import decoded
from helpers.staged import ROOT, params_text
from PIL import Image
from ruamel.yaml import YAML
from scipy.io import savemat

from alexnet.config.data import Source
from alexnet.errors import UserError
from alexnet.sources import torchvision as source
from alexnet.sources.collect import collect as collect_source
from alexnet.sources.manifest import Manifest, read_image

Files = dict[str, bytes]
Answer = list[tuple[str, int, bytes]]
"""Split, label and bytes of each image."""


def tar(files: Files, mode: str = "w:gz") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def packed_zip(files: Files) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def mat(**variables: object) -> bytes:
    file = io.BytesIO()
    savemat(file, variables)
    return file.getvalue()


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def jpeg(patch: Callable[..., Image.Image], encoded: Callable[..., bytes]) -> Callable[[int], bytes]:
    """A small photograph of that number as a file."""
    return lambda number: encoded(patch(number, 40, 32), "JPEG", quality=90)


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, Files], None]:
    """Puts archives where the source looks for them."""

    def write(name: str, archives: Files) -> None:
        (tmp_path / "downloads" / name).mkdir(parents=True)
        for file, content in archives.items():
            (tmp_path / "downloads" / name / file).write_bytes(content)

    return write


@pytest.fixture
def collect(tmp_path: Path, settings: Callable[..., Source]) -> Callable[[str], Manifest]:
    def run(name: str) -> Manifest:
        chosen = settings(source="torchvision", name=name, root=None)
        return collect_source(chosen, 0, main=tmp_path, raw=tmp_path / "data/raw")[0]

    return run


def contents(listed: Manifest, place: Path) -> Answer:
    """What the manifest lists, read as the later stages read it."""
    raw = listed.folder(place, place / "data/raw")
    return sorted((row.split, row.label, read_image(raw, row)) for row in listed.rows)


def pixels(answer: Answer) -> list[tuple[str, int, bytes]]:
    return sorted((split, label, decoded(content).tobytes()) for split, label, content in answer)


@pytest.fixture
def flowers(jpeg: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch) -> tuple[Files, Answer]:
    """Flowers102's three files: four images of each of three classes, numbered without regard to the class."""
    kind = torchvision.datasets.Flowers102
    labels = np.tile([1, 2, 102], 4)
    splits = {"trnid": range(1, 7), "valid": range(7, 10), "tstid": range(10, 13)}
    images = {number: jpeg(number) for number in range(1, 13)}
    archives = {
        "102flowers.tgz": tar({f"jpg/image_{number:05}.jpg": content for number, content in images.items()}),
        "imagelabels.mat": mat(labels=labels[None]),
        "setid.mat": mat(**{key: np.array(numbers)[None] for key, numbers in splits.items()}),
    }
    changed = {key: (name, md5(archives[name])) for key, (name, _) in kind._file_dict.items()}
    monkeypatch.setattr(kind, "_file_dict", changed)
    answer = [
        (split, int(labels[number - 1]) - 1, images[number])
        for split, key in (("train", "trnid"), ("val", "valid"), ("test", "tstid"))
        for number in splits[key]
    ]
    return archives, sorted(answer)


def test_flowers102_has_its_splits_its_names_and_its_files_byte_for_byte(
    tmp_path: Path, flowers: tuple[Files, Answer], put: Callable[..., None], collect: Callable[[str], Manifest]
) -> None:
    archives, answer = flowers
    put("Flowers102", archives)
    listed = collect("Flowers102")
    assert contents(listed, tmp_path) == answer
    assert len(listed.classes) == 102
    assert [listed.classes[label] for label in (0, 101)] == ["pink primrose", "blackberry lily"]
    assert (listed.source, listed.mirror) == ("torchvision/Flowers102", True)
    assert [path.name for path in (tmp_path / "data/raw").iterdir()] == ["Flowers102.tar"]
    assert {path.name for path in (tmp_path / "downloads/Flowers102").iterdir()} == archives.keys()


def test_the_out_is_the_same_bytes_every_time(
    tmp_path: Path, flowers: tuple[Files, Answer], put: Callable[..., None], collect: Callable[[str], Manifest]
) -> None:
    put("Flowers102", flowers[0])
    first = (collect("Flowers102"), (tmp_path / "data/raw/Flowers102.tar").read_bytes())
    assert (collect("Flowers102"), (tmp_path / "data/raw/Flowers102.tar").read_bytes()) == first
    with tarfile.open(tmp_path / "data/raw/Flowers102.tar") as archive:
        assert len(archive.getnames()) == 12


def test_what_an_interrupted_run_has_unpacked_is_not_taken_for_the_whole(
    tmp_path: Path,
    flowers: tuple[Files, Answer],
    put: Callable[..., None],
    collect: Callable[[str], Manifest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def half(source: str, place: str, compression: str | None) -> None:
        with tarfile.open(source) as archive:
            archive.extractall(place, archive.getmembers()[:6], filter="data")
        raise KeyboardInterrupt

    put("Flowers102", flowers[0])
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setitem(torchvision.datasets.utils._ARCHIVE_EXTRACTORS, ".tar", half)
        collect("Flowers102")
    assert list((tmp_path / "data/raw").iterdir()) == []
    assert contents(collect("Flowers102"), tmp_path) == flowers[1]


def test_dtd_has_its_first_partition(
    tmp_path: Path,
    jpeg: Callable[[int], bytes],
    put: Callable[..., None],
    collect: Callable[[str], Manifest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("banded", "zigzagged")
    images = {
        f"{name}/{name}_{number:04}.jpg": jpeg(10 * label + number) for label, name in enumerate(names) for number in range(6)
    }
    parts = {
        split: [path for path in images if int(path[-5]) in numbers]
        for split, numbers in (("train", (0, 3)), ("val", (1, 4)), ("test", (2, 5)))
    }
    files = {f"dtd/images/{path}": content for path, content in images.items()}
    files |= {f"dtd/labels/{split}1.txt": "".join(f"{path}\n" for path in paths).encode() for split, paths in parts.items()}
    files |= {f"dtd/labels/{split}2.txt": b"banded/none.jpg\n" for split in parts}
    archive = tar(files)
    monkeypatch.setattr(torchvision.datasets.DTD, "_MD5", md5(archive))
    put("DTD", {"dtd-r1.0.1.tar.gz": archive})
    listed = collect("DTD")
    assert listed.classes == list(names)
    assert contents(listed, tmp_path) == sorted(
        (split, names.index(path.partition("/")[0]), images[path]) for split, paths in parts.items() for path in paths
    )


def test_sun397_is_listed_in_the_order_of_its_paths_whatever_that_of_the_disk(
    tmp_path: Path,
    jpeg: Callable[[int], bytes],
    put: Callable[..., None],
    collect: Callable[[str], Manifest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("abbey", "youth_hostel", "zoo/indoor")
    images = {f"{name[0]}/{name}/sun_{number:017}.jpg": jpeg(number) for name in names for number in range(8)}
    files = {f"SUN397/{path}": images[path] for path in sorted(images, key=lambda path: md5(path.encode()))}
    files["SUN397/ClassName.txt"] = "".join(f"/{name[0]}/{name}\n" for name in names).encode()
    archive = tar(files)
    monkeypatch.setattr(torchvision.datasets.SUN397, "_DATASET_MD5", md5(archive))
    put("SUN397", {"SUN397.tar.gz": archive})
    listed = collect("SUN397")
    assert listed.classes == list(names)
    rows = sorted(listed.rows, key=lambda row: row.offset)
    found = [(row.label, read_image(tmp_path / "data/raw", row)) for row in rows]
    assert found == [(names.index(path[2:].rpartition("/")[0]), images[path]) for path in sorted(images)]
    with tarfile.open(tmp_path / "data/raw/SUN397.tar") as members:
        assert members.getnames() == sorted(members.getnames())


def test_oxford_pets_keep_every_pixel(
    tmp_path: Path,
    jpeg: Callable[[int], bytes],
    put: Callable[..., None],
    collect: Callable[[str], Manifest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pets = (("Abyssinian", 1, 1), ("american_bulldog", 2, 2), ("english_cocker_spaniel", 3, 2))
    images = {f"{pet}_{number}": jpeg(10 * label + number) for pet, label, _ in pets for number in range(1, 6)}
    lists = {
        split: [(f"{pet}_{number}", label, kind) for pet, label, kind in pets for number in numbers]
        for split, numbers in (("trainval", (1, 3, 4)), ("test", (2, 5)))
    }
    archives = {
        "images.tar.gz": tar(
            {f"images/{name}.jpg": content for name, content in images.items()} | {"images/Abyssinian_1.mat": b""}
        ),
        "annotations.tar.gz": tar(
            {
                f"annotations/{split}.txt": "".join(f"{name} {label} {kind} 1\n" for name, label, kind in lines).encode()
                for split, lines in lists.items()
            }
        ),
    }
    resources = tuple((url, md5(archives[url.rpartition("/")[2]])) for url, _ in torchvision.datasets.OxfordIIITPet._RESOURCES)
    monkeypatch.setattr(torchvision.datasets.OxfordIIITPet, "_RESOURCES", resources)
    put("OxfordIIITPet", archives)
    listed = collect("OxfordIIITPet")
    assert listed.classes == ["Abyssinian", "American Bulldog", "English Cocker Spaniel"]
    assert Counter(row.split for row in listed.rows) == {"train": 6, "val": 3, "test": 6}
    split_of = {"trainval": "train", "test": "test"}
    answer = [(split_of[split], label - 1, images[name]) for split, lines in lists.items() for name, label, _ in lines]
    found = [("train" if split == "val" else split, label, content) for split, label, content in contents(listed, tmp_path)]
    assert pixels(found) == pixels(answer)


def test_house_numbers_keep_every_pixel_and_are_not_mirrored(
    tmp_path: Path, put: Callable[..., None], collect: Callable[[str], Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, rng = torchvision.datasets.SVHN, np.random.default_rng(0)
    digits = {split: np.tile(np.arange(1, 11), count) for split, count in (("train", 3), ("test", 1))}
    images = {split: rng.integers(0, 256, (32, 32, 3, len(labels)), np.uint8) for split, labels in digits.items()}
    archives = {f"{split}_32x32.mat": mat(X=images[split], y=digits[split][:, None].astype(np.uint8)) for split in digits}
    split_list = {split: [*kind.split_list[split][:2], md5(archives[f"{split}_32x32.mat"])] for split in digits}
    monkeypatch.setattr(kind, "split_list", split_list)
    put("SVHN", archives)
    listed = collect("SVHN")
    assert listed.classes == [str(digit) for digit in range(10)]  # a 10 in the file is a zero
    assert not listed.mirror
    answer = sorted(
        (split, int(digit) % 10, np.ascontiguousarray(images[split][..., at]).tobytes())
        for split, labels in digits.items()
        for at, digit in enumerate(labels)
    )
    found = [("train" if split == "val" else split, label, content) for split, label, content in contents(listed, tmp_path)]
    assert pixels(found) == answer


def test_traffic_signs_are_numbered_and_not_mirrored(
    tmp_path: Path,
    patch: Callable[..., Image.Image],
    encoded: Callable[..., bytes],
    put: Callable[..., None],
    collect: Callable[[str], Manifest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    signs = {(label, number): patch(10 * label + number, 30, 28) for label in range(3) for number in range(4)}
    train = {
        f"GTSRB/Training/{label:05}/00000_{number:05}.ppm": encoded(sign, "PPM")
        for (label, number), sign in signs.items()
        if number < 3
    }
    tests = {f"{label:05}.ppm": (label, signs[label, 3]) for label in range(3)}
    lines = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
    lines += [f"{name};30;28;5;5;25;23;{label}" for name, (label, _) in tests.items()]
    put(
        "GTSRB",
        {
            "GTSRB-Training_fixed.zip": packed_zip(train | {"GTSRB/Training/00000/GT-00000.csv": b"Filename\n"}),
            "GTSRB_Final_Test_Images.zip": packed_zip(
                {f"GTSRB/Final_Test/Images/{name}": encoded(sign, "PPM") for name, (_, sign) in tests.items()}
            ),
            "GTSRB_Final_Test_GT.zip": packed_zip({"GT-final_test.csv": "\r\n".join(lines).encode()}),
        },
    )
    monkeypatch.setattr("alexnet.sources.fetch._verify", lambda *_: None)  # the checksums are in the midst of torchvision's code
    listed = collect("GTSRB")
    assert (listed.classes, listed.mirror) == (["0", "1", "2"], False)
    found = [("train" if split == "val" else split, label, content) for split, label, content in contents(listed, tmp_path)]
    expected = [
        ("test" if number == 3 else "train", label, np.asarray(sign).tobytes()) for (label, number), sign in signs.items()
    ]
    assert pixels(found) == sorted(expected)


def test_caltech101_keeps_its_files_and_leaves_out_its_background(
    tmp_path: Path,
    jpeg: Callable[[int], bytes],
    put: Callable[..., None],
    collect: Callable[[str], Manifest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("BACKGROUND_Google", "Faces", "accordion")
    images = {(name, number): jpeg(10 * at + number) for at, name in enumerate(names) for number in range(1, 6)}
    inner = tar({f"101_ObjectCategories/{name}/image_{number:04}.jpg": content for (name, number), content in images.items()})
    outer = {"caltech-101/101_ObjectCategories.tar.gz": inner, "caltech-101/Annotations.tar": tar({}, "w")}
    put("Caltech101", {"caltech-101.zip": packed_zip(outer)})
    monkeypatch.setattr("alexnet.sources.fetch._verify", lambda *_: None)
    listed = collect("Caltech101")
    assert listed.classes == ["Faces", "accordion"]
    assert {split for split, _, _ in contents(listed, tmp_path)} == {"train", "val", "test"}
    assert sorted((label, content) for _, label, content in contents(listed, tmp_path)) == sorted(
        (names.index(name) - 1, content) for (name, _), content in images.items() if name != "BACKGROUND_Google"
    )
    assert (tmp_path / "downloads/Caltech101/caltech-101.zip").exists()


def test_stl10_keeps_every_pixel(
    tmp_path: Path, put: Callable[..., None], collect: Callable[[str], Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, rng = torchvision.datasets.STL10, np.random.default_rng(0)
    labels = {"train": np.repeat([1, 2], 4).astype(np.uint8), "test": np.array([2, 1], np.uint8)}
    images = {split: rng.integers(0, 256, (len(labels[split]), 3, 96, 96), np.uint8) for split in labels}
    files = {f"stl10_binary/{split}_X.bin": content.tobytes() for split, content in images.items()}
    files |= {f"stl10_binary/{split}_y.bin": content.tobytes() for split, content in labels.items()}
    files |= {"stl10_binary/class_names.txt": b"airplane\nbird\n", "stl10_binary/unlabeled_X.bin": bytes(3 * 96 * 96)}
    archive = tar(files)
    monkeypatch.setattr(kind, "tgz_md5", md5(archive))
    put("STL10", {"stl10_binary.tar.gz": archive})
    listed = collect("STL10")
    assert listed.classes == ["airplane", "bird"]
    found = [("train" if split == "val" else split, label, content) for split, label, content in contents(listed, tmp_path)]
    assert pixels(found) == sorted(
        (split, int(label) - 1, image.transpose(2, 1, 0).tobytes())  # columns come first in the file
        for split in labels
        for label, image in zip(labels[split], images[split], strict=True)
    )


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address under which it is served."""
    (tmp_path / "served").mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path / "served"))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield tmp_path / "served", f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_archives_are_fetched_once_and_torchvisions_functions_are_left_as_they_were(
    tmp_path: Path,
    flowers: tuple[Files, Answer],
    served: tuple[Path, str],
    collect: Callable[[str], Manifest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, url = served
    for name, content in flowers[0].items():
        (folder / name).write_bytes(content)
    monkeypatch.setattr(torchvision.datasets.Flowers102, "_download_url_prefix", url)
    before = torchvision.datasets.utils.download_url
    assert contents(collect("Flowers102"), tmp_path) == flowers[1]
    for name in flowers[0]:
        (folder / name).unlink()
    assert contents(collect("Flowers102"), tmp_path) == flowers[1]
    assert torchvision.datasets.utils.download_url is torchvision.datasets.flowers102.download_url is before


def test_a_fetch_that_fails_says_which_file_to_put_where_and_keeps_the_others(
    tmp_path: Path,
    flowers: tuple[Files, Answer],
    served: tuple[Path, str],
    collect: Callable[[str], Manifest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, url = served
    (folder / "102flowers.tgz").write_bytes(flowers[0]["102flowers.tgz"])
    monkeypatch.setattr(torchvision.datasets.Flowers102, "_download_url_prefix", url)
    with pytest.raises(UserError) as error:
        collect("Flowers102")
    place = tmp_path / "downloads/Flowers102"
    for part in (
        f"{url}imagelabels.mat",
        "answered 404",
        md5(flowers[0]["imagelabels.mat"]),
        f"into {place} and run `dvc repro`",
    ):
        assert part in str(error.value)
    assert [path.name for path in place.iterdir()] == ["102flowers.tgz"]
    assert list((tmp_path / "data/raw").iterdir()) == []


def test_what_lies_there_with_a_wrong_checksum_is_rejected_and_left_alone(
    tmp_path: Path, put: Callable[..., None], collect: Callable[[str], Manifest]
) -> None:
    put("Flowers102", {"102flowers.tgz": b"junk"})
    with pytest.raises(UserError, match=r"102flowers.tgz has md5 .* not 52808999861908f626f3c1f4e79d11fa; remove it"):
        collect("Flowers102")
    assert (tmp_path / "downloads/Flowers102/102flowers.tgz").read_bytes() == b"junk"


@pytest.mark.parametrize(
    "content",
    [b"junk", gzip.compress(b"junk"), tar({"a": bytes(10_000)})[:60], tar({"a": b"other files"})],
    ids=["junk", "packed junk", "cut", "other files"],  # the bytes have the time in them
)
def test_a_damaged_archive_that_has_no_checksum_is_named(
    content: bytes, put: Callable[..., None], collect: Callable[[str], Manifest]
) -> None:
    put("FGVCAircraft", {"fgvc-aircraft-2013b.tar.gz": content})
    with pytest.raises(UserError, match=r"downloads/FGVCAircraft: FGVCAircraft is damaged \(.*\); remove it and run"):
        collect("FGVCAircraft")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Flower102", "torchvision has no data set Flower102; did you mean Flowers102?"),
        ("flowers102", "torchvision has no data set flowers102; did you mean Flowers102?"),
        ("\x1b[1m", r"torchvision has no data set \x1b[1m; did you mean "),
        (
            "CocoDetection",
            "CocoDetection is not one of torchvision's data sets for classification that can be read here (Caltech101, ",
        ),
        ("Caltech256", "; the nearest name is Caltech101"),
        ("CIFAR10", "torchvision unpickles it, which can run code; set data.source: cifar10 and data.name: null"),
        ("CIFAR100", "torchvision unpickles it, which can run code; for CIFAR-10 set data.source: cifar10"),
        ("ImageNet", "set data.source: imagenet"),
        ("ImageFolder", "set data.source: folder"),
        ("LFWPeople", "can no longer be downloaded; put lfw-py/ with lfw-funneled.tgz"),
        ("StanfordCars", "can no longer be downloaded; put stanford_cars/ with cars_train/"),
        ("utils", "torchvision has no data set utils"),
    ],
)
def test_another_name_is_rejected_in_one_line_that_says_what_to_set(
    name: str, words: str, tmp_path: Path, collect: Callable[[str], Manifest]
) -> None:
    with pytest.raises(UserError) as error:
        collect(name)
    assert words in str(error.value)
    assert str(error.value).startswith("data.name: ")
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "downloads").exists()


def test_every_set_is_torchvisions_takes_these_arguments_and_lists_paths_if_it_says_so() -> None:
    for name, spec in source.SETS.items():
        parameters = signature(getattr(torchvision.datasets, name)).parameters
        assert name in torchvision.datasets.__all__
        assert "train" in spec.splits
        assert {key for arguments in spec.splits.values() for key in arguments} <= parameters.keys()
        assert ("loader" in parameters) == spec.loader
    assert set(torchvision.datasets.__all__) >= source.ELSEWHERE.keys()


def test_the_guide_lists_every_set() -> None:
    guide = (ROOT / "docs/guide.md").read_text(encoding="utf-8")
    assert [name for name in source.SETS if f"`{name}`" not in guide] == []


def test_lfws_people_are_divided_and_those_in_one_image_are_trained_on(
    tmp_path: Path, jpeg: Callable[[int], bytes], collect: Callable[[str], Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, kind = tmp_path / "downloads/LFWPeople/lfw-py", torchvision.datasets.LFWPeople
    people = {"Abdel_Aziz": 1, "Abel_Pacheco": 4, "Adam_Ant": 2, "Zico": 3}
    images = {}
    for at, (name, count) in enumerate(people.items()):
        (place / "lfw_funneled" / name).mkdir(parents=True)
        for number in range(1, count + 1):
            images[at, number] = jpeg(10 * at + number)
            (place / f"lfw_funneled/{name}/{name}_{number:04}.jpg").write_bytes(images[at, number])
    lines = [f"{name}\t{count}\n" for name, count in people.items()]
    files = {
        "lfw-funneled.tgz": b"the archive",
        "people.txt": "".join(["2\n", "3\n", *reversed(lines[1:]), "1\n", lines[0]]).encode(),
        "lfw-names.txt": "".join(lines).encode(),
    }
    for name, content in files.items():
        (place / name).write_bytes(content)
    monkeypatch.setattr(kind, "file_dict", {"funneled": ("lfw_funneled", "lfw-funneled.tgz", md5(files["lfw-funneled.tgz"]))})
    monkeypatch.setattr(kind, "checksums", {name: md5(content) for name, content in files.items()})
    listed = collect("LFWPeople")
    assert listed.classes == list(people)
    assert sorted((label, content) for _, label, content in contents(listed, tmp_path)) == sorted(
        (label, content) for (label, _), content in images.items()
    )
    splits = [sorted(split for split, label, _ in contents(listed, tmp_path) if label == person) for person in range(4)]
    assert splits == [["train"], ["test", "train", "train", "val"], ["test", "train"], ["test", "train", "val"]]


def test_stanford_cars_are_read_from_files_put_there_by_hand(
    tmp_path: Path, jpeg: Callable[[int], bytes], collect: Callable[[str], Manifest]
) -> None:
    place = tmp_path / "downloads/StanfordCars/stanford_cars"
    answer = []
    for split, count in (("train", 6), ("test", 2)):
        labels = [1 + number % 2 for number in range(count)]
        annotations = np.zeros((1, count), [("class", "O"), ("fname", "O")])
        (place / f"cars_{split}").mkdir(parents=True)
        for number, label in enumerate(labels):
            annotations[0, number] = (label, f"{number:05}.jpg")
            (place / f"cars_{split}/{number:05}.jpg").write_bytes(jpeg(number))
            answer.append((split, label - 1, jpeg(number)))
        (place / "devkit").mkdir(exist_ok=True)
        where = place / ("devkit/cars_train_annos.mat" if split == "train" else "cars_test_annos_withlabels.mat")
        where.write_bytes(mat(annotations=annotations))
    names = np.array([["AM General Hummer SUV 2000", "Acura RL Sedan 2012"]], object)
    (place / "devkit/cars_meta.mat").write_bytes(mat(class_names=names))
    listed = collect("StanfordCars")
    assert listed.classes == list(names[0])
    found = [("train" if split == "val" else split, label, content) for split, label, content in contents(listed, tmp_path)]
    assert sorted(found) == sorted(answer)


def test_without_a_network_the_stage_says_in_one_line_which_file_to_put_where(tmp_path: Path) -> None:
    yaml = YAML()
    params = yaml.load(params_text())
    params["data"].update({"source": "torchvision", "name": "Flowers102"})
    yaml.dump(params, tmp_path / "params.yaml")
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    nowhere |= {"no_proxy": "", "NO_PROXY": ""}
    environment = os.environ | nowhere | {"PYTHONPATH": str(ROOT), "DVC_ROOT": str(tmp_path)}
    command = [sys.executable, "-m", "stages.download"]
    stopped = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert stopped.returncode == 2
    assert stopped.stderr == (
        "error: 102flowers.tgz could not be fetched from https://www.robots.ox.ac.uk/~vgg/data/flowers/102/102flowers.tgz "
        f"(no connection); put the file (md5 52808999861908f626f3c1f4e79d11fa) into {tmp_path}/downloads/Flowers102 "
        "and run `dvc repro` again\n"
    )
