"""ImageNet (ILSVRC 2012) as it is distributed: tars, from which images are read in place, or extracted folders, also Kaggle's."""

import csv
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from scipy.io import loadmat

from alexnet.errors import UserError
from alexnet.names import printable
from alexnet.sources.folder import existing_root, name_unused
from alexnet.sources.listing import Omissions, Request, SourceListing
from alexnet.sources.manifest import Row
from alexnet.sources.scan import class_folders, count_strays, images_below
from alexnet.sources.tar import members
from alexnet.sources.wordnet import class_names, first_word, read_names

TRAIN = "ILSVRC2012_img_train.tar"
VAL = "ILSVRC2012_img_val.tar"
KIT = "ILSVRC2012_devkit_t12"
PLACES = ("ILSVRC/Data/CLS-LOC", "Data/CLS-LOC", ".")
"""Where train and val may be; the first is Kaggle's."""
NAMES = "LOC_synset_mapping.txt"
"""Kaggle's names of the classes."""
LARGEST_KIT_FILE = 64 << 20
"""Bytes; the real ones have less than one million."""
SOLUTION = "LOC_val_solution.csv"
"""Kaggle's classes of the validation images."""


@dataclass(frozen=True)
class Labels:
    """What the development kit, or Kaggle's files, say about the classes."""

    names: dict[str, str]
    """From a class's WordNet id to its first word."""
    validation: dict[str, str]
    """From a validation image's name without extension to its WordNet id."""


def find(request: Request) -> SourceListing:
    """List the training images, and the validation images as test.

    Labels follow the sorted WordNet ids of the training images. Raises ``UserError`` if a file is missing or damaged.
    """
    root = existing_root(request)
    known = read_labels(root)
    omissions = Omissions()
    place = next(root / place for place in PLACES if (root / place).is_dir())
    name_unused(place, ["train", "val", KIT], omissions)
    train = list(_train(root, place, omissions))
    wnids = sorted({wnid for wnid, _ in train})
    if unknown := set(wnids) - set(known.names):
        raise UserError(f"{root}: the training images include {printable(min(unknown))}, not a class of ILSVRC2012; remove it")
    labels = {wnid: label for label, wnid in enumerate(wnids)}
    rows = [row._replace(label=labels[wnid]) for wnid, row in train]
    # With some of the folders only, their classes are trained on.
    rows += [row._replace(label=labels[wnid]) for wnid, row in _val(root, place, known, omissions) if wnid in labels]
    return SourceListing(class_names(wnids, known.names), rows, root, omissions=omissions)


def read_labels(root: Path) -> Labels:
    """Read the development kit under ``root``, packed or extracted, or else Kaggle's files. Raises ``UserError``."""
    if (root / KIT).is_dir() or (root / f"{KIT}.tar.gz").is_file():
        return _read_kit(root)
    if not (root / NAMES).is_file():
        raise UserError(
            f"{root} has neither {KIT}.tar.gz (from image-net.org) nor {NAMES} (from Kaggle), which name the classes; "
            "download one of them, or set data.root to the folder that has it"
        )
    if not (root / SOLUTION).is_file():
        raise UserError(f"{root} has no {SOLUTION}, which has the classes of the validation images; download it from Kaggle")
    with (root / SOLUTION).open(encoding="utf-8", errors="replace", newline="") as file:
        lines = list(csv.reader(file))[1:]
    try:
        # The class and a box; for some images several times.
        return Labels(read_names(root / NAMES), {image: boxes.split()[0] for image, boxes in lines})
    except (ValueError, IndexError):
        raise UserError(f"{root / SOLUTION} is damaged; download it again from Kaggle") from None


def _read_kit(root: Path) -> Labels:
    try:
        synsets = loadmat(io.BytesIO(_kit_file(root, "meta.mat")), squeeze_me=True)["synsets"]
        leaves = [synset for synset in synsets if synset["num_children"] == 0]
        wnids = {int(synset["ILSVRC2012_ID"]): str(synset["WNID"]) for synset in leaves}
        names = {str(synset["WNID"]): first_word(str(synset["words"])) for synset in leaves}
        truth = _kit_file(root, "ILSVRC2012_validation_ground_truth.txt").split()
        return Labels(names, {f"ILSVRC2012_val_{at:08}": wnids[int(label)] for at, label in enumerate(truth, 1)})
    except MemoryError:
        raise
    except Exception as error:  # scipy raises errors of any kind for a broken file
        raise UserError(f"{root / KIT}.tar.gz is damaged ({error}); download it again from image-net.org") from None


def _kit_file(root: Path, name: str) -> bytes:
    if (root / KIT).is_dir():
        return (root / KIT / "data" / name).read_bytes()
    with (root / f"{KIT}.tar.gz").open("rb") as packed, tarfile.open(fileobj=packed, mode="r:gz") as archive:
        member = archive.getmember(f"{KIT}/data/{name}")
        if not member.isfile() or member.size > LARGEST_KIT_FILE:
            raise ValueError(f"{name} in it is not a file of at most {LARGEST_KIT_FILE:,} bytes")
        file = archive.extractfile(member)
        assert file, "a member that is a file"
        return file.read()


def _train(root: Path, place: Path, omissions: Omissions) -> Iterator[tuple[str, Row]]:
    if (root / TRAIN).is_file():
        for name, start, length in members(root / TRAIN):
            wnid = name.removesuffix(".tar")
            for _, offset, size in members(root / TRAIN, start, start + length):
                yield wnid, Row("train", 0, TRAIN, offset, size)
    elif (place / "train").is_dir():
        yield from _folders(root, place / "train", "train", omissions)
    else:
        raise UserError(f"data.root: {root} has neither {TRAIN} nor a folder train; download one of them from image-net.org")


def _val(root: Path, place: Path, known: Labels, omissions: Omissions) -> Iterator[tuple[str, Row]]:
    if (root / VAL).is_file():
        for name, offset, size in members(root / VAL):
            yield _truth(name, known), Row("test", 0, VAL, offset, size)
    elif not (place / "val").is_dir():
        raise UserError(f"data.root: {root} has neither {VAL} nor a folder val; download one of them from image-net.org")
    elif any(path.suffix == ".JPEG" for path in (place / "val").iterdir()):
        for path in images_below(place / "val", omissions):
            yield _truth(path.name, known), Row("test", 0, path.relative_to(root).as_posix())
    else:
        yield from _folders(root, place / "val", "test", omissions)


def _folders(root: Path, folder: Path, split: str, omissions: Omissions) -> Iterator[tuple[str, Row]]:
    count_strays(folder, omissions)
    for wnid in class_folders(folder):
        for path in images_below(folder / wnid, omissions):
            yield wnid, Row(split, 0, path.relative_to(root).as_posix())


def _truth(name: str, known: Labels) -> str:
    stem = PurePosixPath(name).stem
    if stem not in known.validation:
        raise UserError(f"{printable(name)} is not a validation image of ILSVRC2012; remove it")
    return known.validation[stem]
