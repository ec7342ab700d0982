"""ImageNet (ILSVRC 2012) as it is distributed: the tars, from which images are read in place, or the extracted folders."""

import io
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scipy.io import loadmat

from alexnet.errors import UserError
from alexnet.names import printable
from alexnet.sources.folder import class_folders, existing_root, images_below
from alexnet.sources.listing import Request, SourceListing
from alexnet.sources.manifest import Row
from alexnet.sources.tar import members

TRAIN = "ILSVRC2012_img_train.tar"
VAL = "ILSVRC2012_img_val.tar"
KIT = "ILSVRC2012_devkit_t12"


@dataclass(frozen=True)
class DevelopmentKit:
    """What ``ILSVRC2012_devkit_t12`` says about the classes."""

    names: dict[str, str]
    """From a class's WordNet id to its first word."""
    validation: list[str]
    """The WordNet id of each validation image, in order."""


def find(request: Request) -> SourceListing:
    """List the training images, and the validation images as test.

    Labels follow the sorted WordNet ids of the training images. Raises ``UserError`` if a file is missing or damaged.
    """
    root = existing_root(request)
    kit = read_kit(root)
    train = list(_train(root))
    wnids = sorted({wnid for wnid, _ in train})
    if unknown := set(wnids) - set(kit.names):
        raise UserError(f"{root}: the training images include {printable(min(unknown))}, not a class of {KIT}; remove it")
    labels = {wnid: label for label, wnid in enumerate(wnids)}
    rows = [row._replace(label=labels[wnid]) for wnid, row in train]
    # With some of the folders only, their classes are trained on.
    rows += [row._replace(label=labels[wnid]) for wnid, row in _val(root, kit) if wnid in labels]
    return SourceListing(class_names(wnids, kit), rows, root)


def class_names(wnids: list[str], kit: DevelopmentKit) -> list[str]:
    """The first word of each class, with the WordNet id if two classes share it (crane, maillot)."""
    counts = Counter(kit.names[wnid] for wnid in wnids)
    return [kit.names[wnid] if counts[kit.names[wnid]] == 1 else f"{kit.names[wnid]} ({wnid})" for wnid in wnids]


def read_kit(root: Path) -> DevelopmentKit:
    """Read the development kit under ``root``, packed or extracted. Raises ``UserError``."""
    try:
        synsets = loadmat(io.BytesIO(_kit_file(root, "meta.mat")), squeeze_me=True)["synsets"]
        leaves = [synset for synset in synsets if synset["num_children"] == 0]
        wnids = {int(synset["ILSVRC2012_ID"]): str(synset["WNID"]) for synset in leaves}
        names = {str(synset["WNID"]): str(synset["words"]).split(",")[0] for synset in leaves}
        truth = _kit_file(root, "ILSVRC2012_validation_ground_truth.txt").split()
        return DevelopmentKit(names, [wnids[int(label)] for label in truth])
    except FileNotFoundError:
        raise UserError(f"{root} has no {KIT}.tar.gz, which names the classes; download it from image-net.org") from None
    except (tarfile.TarError, EOFError, ValueError, KeyError, OSError) as error:
        raise UserError(f"{root / KIT}.tar.gz is damaged ({error}); download it again from image-net.org") from None


def _kit_file(root: Path, name: str) -> bytes:
    if (root / KIT).is_dir():
        return (root / KIT / "data" / name).read_bytes()
    with tarfile.open(root / f"{KIT}.tar.gz", "r:gz") as archive:
        file = archive.extractfile(f"{KIT}/data/{name}")
        assert file, "a member that is a file"
        return file.read()


def _train(root: Path) -> Iterator[tuple[str, Row]]:
    if (root / TRAIN).is_file():
        for name, start, _ in members(root / TRAIN):
            wnid = name.removesuffix(".tar")
            for _, offset, size in members(root / TRAIN, start):
                yield wnid, Row("train", 0, TRAIN, offset, size)
    elif (root / "train").is_dir():
        yield from _folders(root, "train", "train")
    else:
        raise UserError(f"data.root: {root} has neither {TRAIN} nor a folder train; download one of them from image-net.org")


def _val(root: Path, kit: DevelopmentKit) -> Iterator[tuple[str, Row]]:
    if (root / VAL).is_file():
        for name, offset, size in members(root / VAL):
            yield _truth(name, kit), Row("test", 0, VAL, offset, size)
    elif not (root / "val").is_dir():
        raise UserError(f"data.root: {root} has neither {VAL} nor a folder val; download one of them from image-net.org")
    elif any((root / "val").glob("*.JPEG")):
        for path in images_below(root / "val"):
            yield _truth(path.name, kit), Row("test", 0, path.relative_to(root).as_posix())
    else:
        yield from _folders(root, "val", "test")


def _folders(root: Path, folder: str, split: str) -> Iterator[tuple[str, Row]]:
    for wnid in class_folders(root / folder):
        for path in images_below(root / folder / wnid):
            yield wnid, Row(split, 0, path.relative_to(root).as_posix())


def _truth(name: str, kit: DevelopmentKit) -> str:
    number = re.search(r"ILSVRC2012_val_(\d{8})\.JPEG$", name)
    if not number or not 0 < int(number[1]) <= len(kit.validation):
        raise UserError(f"{printable(name)} is not a validation image of {KIT}; remove it")
    return kit.validation[int(number[1]) - 1]
