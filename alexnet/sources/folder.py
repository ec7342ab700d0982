"""Your own folder: ``train/<class>/*``, and optionally ``val/`` and ``test/`` in the same way or as in Tiny ImageNet."""

from collections.abc import Iterator
from pathlib import Path

from alexnet.errors import UserError
from alexnet.names import printable
from alexnet.sources.listing import Omissions, Request, SourceListing
from alexnet.sources.manifest import Row, rooted
from alexnet.sources.scan import EXTENSIONS, class_folders, count_strays, images_below, subfolders
from alexnet.sources.wordnet import WNID, class_names, read_names

FOLDERS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
"""The names that the folder of a split may have; the first that is there is used."""


def find(request: Request) -> SourceListing:
    """List the images below each class folder, and what is left out.

    Raises ``UserError`` if a folder is missing or empty, or a class is not in train.
    """
    root = existing_root(request)
    folders = _split_folders(root)
    if "train" not in folders:
        inner = [name for name in subfolders(root) if (root / name / "train").is_dir()]
        remedy = f"set data.root to {root / inner[0]}, which has one" if inner else "put the images into train/<class>/ in it"
        raise UserError(f"data.root: {root} has no folder train; {printable(remedy)}")
    omissions = Omissions()
    name_unused(root, [folder.name for folder in folders.values()], omissions)
    classes = class_folders(folders["train"])
    rows: list[Row] = []
    for split, folder in folders.items():
        annotations = folder / f"{folder.name}_annotations.txt"
        if annotations.is_file() and (folder / "images").is_dir() and "images" not in classes:
            found = _annotated(folder / "images", annotations, classes, omissions)
        elif split == "test" and len(names := subfolders(folder)) <= 1 and not set(names) & set(classes):
            why = "no folder in it is a class; test images are taken from train"
            omissions.lines.append(f"{printable(folder)} is not used, as {why}")
            continue
        else:
            found = _labelled(folder, classes, omissions)
        rows += (Row(split, label, image.relative_to(root).as_posix()) for label, image in found)
    if all(WNID.fullmatch(name) for name in classes) and (root / "words.txt").is_file():
        classes = class_names(classes, read_names(root / "words.txt"))
    return SourceListing(classes, rows, root, omissions=omissions)


def existing_root(request: Request) -> Path:
    """The folder ``data.root``. Raises ``UserError`` if it does not exist."""
    root = rooted(request.main, request.settings.root or "")
    if not root.is_dir():
        raise UserError(f"data.root: {request.settings.root} is not a folder ({root}); set it to the one with the images")
    return root


def name_unused(root: Path, used: list[str], omissions: Omissions) -> None:
    """Add a line with the folders in ``root`` that are not ``used``, if there are any."""
    unused = [name for name in subfolders(root) if name not in used]
    if unused:
        shown = ", ".join(unused[:5]) + (f" and {len(unused) - 5} more" if len(unused) > 5 else "")
        omissions.lines.append(f"not used in {printable(root)}: {printable(shown)}")


def _split_folders(root: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for split, names in FOLDERS.items():
        for name in names:
            folder = root / name
            if folder.is_symlink() and not folder.exists():
                raise UserError(f"{folder} is a link to nowhere; fix or remove it")
            if folder.is_dir():
                found.setdefault(split, folder)
    return found


def _annotated(folder: Path, annotations: Path, classes: list[str], omissions: Omissions) -> Iterator[tuple[int, Path]]:
    # Tiny ImageNet's val: a line for each image in the folder, its name and class and a box, with tabs between them.
    lines = annotations.read_text("utf-8", "surrogateescape").splitlines()
    names = {fields[0]: fields[1] for line in lines if len(fields := line.split("\t")) > 1}
    labels = {name: label for label, name in enumerate(classes)}
    for image in images_below(folder, omissions):
        if image.name not in names:
            raise UserError(f"{printable(image)} has no line in {annotations.name}; add one, or remove the image")
        if (label := labels.get(names[image.name])) is None:
            # Only some of the classes were kept in train.
            omissions.files["of a class that train lacks"] += 1
        else:
            yield label, image


def _labelled(folder: Path, classes: list[str], omissions: Omissions) -> Iterator[tuple[int, Path]]:
    count_strays(folder, omissions)
    for name in class_folders(folder):
        if name not in classes:
            shown = printable(name)
            raise UserError(f"{folder} has the class {shown}, which train lacks; add train/{shown} or remove it")
        images = list(images_below(folder / name, omissions))
        if not images:
            place = printable(folder / name)
            raise UserError(
                f"class {printable(name)} is empty: {place} has no {', '.join(EXTENSIONS)} file; add some or remove it"
            )
        yield from ((classes.index(name), image) for image in images)
