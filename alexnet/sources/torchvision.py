"""torchvision's data sets for classification, with its downloads, checksums, splits and class names.

Starts torch, which torchvision imports; loaded for ``data.source: torchvision`` only.
"""

import io
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torchvision  # type: ignore[import-untyped]
from tqdm import tqdm

from alexnet.disk import require_free_space
from alexnet.errors import UserError
from alexnet.files.whole import whole_file
from alexnet.names import printable
from alexnet.nearest import nearest
from alexnet.sources.fetch import Archive, fetch
from alexnet.sources.listing import Request, SourceListing
from alexnet.sources.manifest import Row
from alexnet.sources.tar import END, write_member

Splits = dict[str, dict[str, Any]]

ONE: Splits = {"train": {}}
TRAIN_TEST: Splits = {split: {"split": split} for split in ("train", "test")}
TRAIN_VAL_TEST: Splits = {split: {"split": split} for split in ("train", "val", "test")}


@dataclass(frozen=True)
class DataSet:
    """How a class of ``torchvision.datasets`` is asked for its images."""

    splits: Splits
    """The arguments for each split. Validation images of a set without labelled test images are test."""
    loader: bool = True
    """Whether it takes the function that loads an image, so that it can be asked for the image's path."""
    mirror: bool = True
    """As in ``Manifest``."""
    keep_small: bool = False
    """As in ``SourceListing``."""
    by_hand: str = ""
    """For a set that cannot be downloaded any more: the files that it is read from."""


SETS = {
    "Caltech101": DataSet(ONE, loader=False),
    "Country211": DataSet(TRAIN_VAL_TEST | {"val": {"split": "valid"}}),
    "DTD": DataSet(TRAIN_VAL_TEST),
    "EuroSAT": DataSet(ONE),
    "FGVCAircraft": DataSet(TRAIN_VAL_TEST),
    "Flowers102": DataSet(TRAIN_VAL_TEST),
    "Food101": DataSet(TRAIN_TEST),
    # Some traffic signs are mirror images of others, such as "keep right" and "keep left".
    "GTSRB": DataSet(TRAIN_TEST, loader=False, mirror=False),
    "Imagenette": DataSet({"train": {"split": "train"}, "test": {"split": "val"}}),
    "OxfordIIITPet": DataSet({"train": {"split": "trainval"}, "test": {"split": "test"}}, loader=False),
    # Its training and test images show different people.
    "LFWPeople": DataSet(
        {"train": {"split": "10fold"}},
        keep_small=True,
        by_hand="lfw-py/ with lfw-funneled.tgz, the lfw_funneled/ in it, people.txt and lfw-names.txt",
    ),
    # The images of 256 x 256 pixels, on which the set's own nets were trained; the large ones are 105 GB.
    "Places365": DataSet({"train": {"split": "train-standard", "small": True}, "test": {"split": "val", "small": True}}),
    # Pictures of sentences: mirrored text cannot be read.
    "RenderedSST2": DataSet(TRAIN_VAL_TEST, mirror=False),
    "STL10": DataSet(TRAIN_TEST, loader=False),
    "SUN397": DataSet(ONE),
    "StanfordCars": DataSet(
        TRAIN_TEST, by_hand="stanford_cars/ with cars_train/, cars_test/, devkit/ and cars_test_annos_withlabels.mat"
    ),
    # Digits: a mirrored 2 is not a 2.
    "SVHN": DataSet(TRAIN_TEST, loader=False, mirror=False),
}
"""The sets that can be read, by the name of their class."""

ELSEWHERE = {
    "CIFAR10": "torchvision unpickles it, which can run code; set data.source: cifar10 and data.name: null",
    "CIFAR100": "torchvision unpickles it, which can run code; for CIFAR-10 set data.source: cifar10 and data.name: null",
    "ImageNet": "set data.source: imagenet and data.name: null",
    "ImageFolder": "set data.source: folder and data.name: null",
    "DatasetFolder": "set data.source: folder and data.name: null",
}
"""Sets that are rejected, with what to do instead."""

DAMAGED = (RuntimeError, tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error)
"""What torchvision, or a library that it unpacks with, raises if a file is missing or damaged."""


def find(request: Request) -> SourceListing:
    """Write the images to ``NAME.tar``: files as they are if torchvision gives their paths, otherwise PNGs of the pixels.

    Archives are fetched into ``downloads/NAME``. Raises ``UserError`` if no set that can be read has that name, or if it cannot
    be fetched.
    """
    name = request.settings.name or ""
    spec = spec_of(name)
    folder = request.downloads / name
    archive = request.raw / f"{name}.tar"
    classes: list[str] = []
    rows: list[Row] = []
    request.raw.mkdir(parents=True, exist_ok=True)
    # In data/raw, which no other run uses. What an interrupted run had unpacked is not used either, as torchvision would take it
    # for complete.
    with tempfile.TemporaryDirectory(prefix=".unpacked-", dir=request.raw) as unpacked, whole_file(archive) as file:
        for split, arguments in spec.splits.items():
            images = opened(name, spec, arguments, folder, Path(unpacked))
            found = class_names(images)
            if classes and found and found != classes:
                raise UserError(f"{folder}: the classes of {name}'s splits differ; replace its files with complete ones")
            classes = classes or found
            numbers: Sequence[int] = range(len(images))
            if spec.loader:  # by path: some sets list files as the file system does
                numbers = sorted(numbers, key=lambda number: str(images[number][0]))
            for number, at in enumerate(tqdm(numbers, desc=split, unit=" images", disable=None, leave=False)):
                image, label = images[at]
                suffix, content = file_of(image)
                offset = write_member(file, f"{split}/{int(label)}/{number:07}{suffix}", content)
                rows.append(Row(split, int(label), archive.name, offset, len(content)))
        file.write(END)
    # The classes of digits and traffic signs have numbers only.
    classes = classes or [str(label) for label in range(1 + max(row.label for row in rows))]
    return SourceListing(classes, rows, request.raw, mirror=spec.mirror, keep_small=spec.keep_small)


def spec_of(name: str) -> DataSet:
    """The set of that name. Raises ``UserError`` with what to set instead."""
    if name in SETS:
        return SETS[name]
    if name in ELSEWHERE:
        raise UserError(f"data.name: {name} is not read from torchvision: {ELSEWHERE[name]}")
    near = nearest(name, SETS, cutoff=0.0)
    if name in torchvision.datasets.__all__:
        raise UserError(
            f"data.name: {name} is not one of torchvision's data sets for classification that can be read here "
            f"({', '.join(SETS)}); the nearest name is {near}"
        )
    raise UserError(f"data.name: torchvision has no data set {printable(name)}; did you mean {near}?")


def opened(name: str, spec: DataSet, arguments: dict[str, Any], folder: Path, unpacked: Path) -> Any:
    """A split as torchvision's object, with paths for images if it can. Raises ``UserError``."""
    kind = getattr(torchvision.datasets, name)
    if spec.loader:
        arguments = arguments | {"loader": str}
    try:
        if spec.by_hand:
            return kind(folder, **arguments)
        with fetching(sys.modules[kind.__module__], folder):
            return kind(unpacked, download=True, **arguments)
    except DAMAGED as error:
        if spec.by_hand:
            raise UserError(
                f"data.name: {name} can no longer be downloaded; put {spec.by_hand} into {folder} and run `dvc repro` again"
            ) from None
        raise UserError(f"{folder}: {name} is damaged ({printable(error)}); remove it and run `dvc repro` again") from None


@contextmanager
def fetching(module: Any, folder: Path) -> Iterator[None]:
    """Make the data sets in ``module`` take their archives from ``folder``, into which each is fetched once and verified.

    torchvision's own download leaves parts of files behind, and its errors do not say which file to put where.
    """

    def download_url(url: str, root: str, filename: str | None = None, md5: str | None = None) -> None:
        path = fetch(Archive(url, md5), folder)
        link = Path(root) / (filename or path.name)
        link.parent.mkdir(parents=True, exist_ok=True)
        require_free_space(link.parent, path.stat().st_size, f"the unpacked {path.name}")
        link.unlink(missing_ok=True)
        link.symlink_to(path.absolute())

    # Python before 3.14 would write members named ../ where they say.
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    places = [place for place in (torchvision.datasets.utils, module) if hasattr(place, "download_url")]
    theirs = torchvision.datasets.utils.download_url
    for place in places:
        place.download_url = download_url
    try:
        yield
    finally:
        for place in places:
            place.download_url = theirs
        del tarfile.TarFile.extraction_filter


def class_names(images: Any) -> list[str]:
    """The classes of a set in label order; none if it has only numbers."""
    attributes = ("classes", "categories", "class_to_idx")
    names = next((list(getattr(images, name)) for name in attributes if getattr(images, name, None)), [])
    # Imagenette has several words for a class.
    return [name if isinstance(name, str) else name[0] for name in names]


def file_of(image: Any) -> tuple[str, bytes]:
    """An image's suffix and bytes: of the file if it comes from one unchanged, otherwise of a PNG."""
    path = image if isinstance(image, str) else getattr(image, "filename", "")
    if path:
        return Path(path).suffix, Path(path).read_bytes()
    png = io.BytesIO()
    image.save(png, "PNG", compress_level=1)
    return ".png", png.getvalue()
