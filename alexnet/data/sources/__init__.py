"""Where images come from, one module a source: each lists its images, with the splits and class names that it has."""

from pathlib import Path

from alexnet.data.hashes import hashed
from alexnet.data.manifest import SPLITS, Manifest
from alexnet.data.sources.found import Found
from alexnet.data.split import complete, limit
from alexnet.errors import UserError
from alexnet.names import printable
from alexnet.settings.data import Source


def collect(settings: Source, seed: int, *, main: Path, raw: Path) -> Manifest:
    """Fetch what the source needs into ``raw`` and list its images, divided, limited and hashed.

    ``main`` is the folder where a relative ``data.root`` starts and where ``downloads/`` lies. Raises ``UserError``.
    """
    found = _find(settings, seed, main, raw)
    if len(found.classes) < 2:
        raise UserError(f"{found.folder} holds one class, {printable(found.classes[0])}; a net needs two or more to tell apart")
    rows = complete(found.rows, settings.val_fraction, settings.test_fraction, seed, found.classes)
    if settings.limit is not None:
        rows = limit(rows, settings.limit, seed, found.classes)
    rows.sort(key=lambda row: (SPLITS.index(row.split), row.path, row.offset))
    return Manifest(
        source=settings.source,
        classes=found.classes,
        mirror=settings.source != "digits",
        pixels=found.pixels,
        root=None if found.folder == raw else settings.root,
        rows=hashed(rows, found.folder),
    )


def _find(settings: Source, seed: int, main: Path, raw: Path) -> Found:
    downloads = main / "downloads"
    # Imported here, so that a source loads only its own libraries.
    match settings.source:
        case "digits":
            from alexnet.data.sources import digits

            return digits.find(settings, seed, raw)
        case "cifar10":
            from alexnet.data.sources import cifar10

            return cifar10.find(downloads, raw)
        case "imagenette":
            from alexnet.data.sources import imagenette

            return imagenette.find(downloads, raw)
        case "imagenet":
            from alexnet.data.sources import imagenet

            return imagenet.find(settings, main)
        case "folder":
            from alexnet.data.sources import folder

            return folder.find(settings, main)
