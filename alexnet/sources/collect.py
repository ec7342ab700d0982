"""From the settings to a manifest: find the images of a source, divide, limit and hash them."""

from importlib import import_module
from pathlib import Path

from alexnet.config.data import Source
from alexnet.errors import UserError
from alexnet.names import printable
from alexnet.sources.hashes import hashed
from alexnet.sources.listing import Omissions, Request, SourceListing
from alexnet.sources.manifest import SPLITS, Manifest
from alexnet.sources.split import complete, limit


def collect(settings: Source, seed: int, *, main: Path, raw: Path) -> tuple[Manifest, Omissions]:
    """Fetch what the source needs into ``raw`` and list its images, divided, limited and hashed; also what was left out.

    ``main`` is the folder where a relative ``data.root`` starts and where ``downloads/`` lies. Raises ``UserError``.
    """
    # By the name of the source, so that only its own libraries are loaded.
    found: SourceListing = import_module(f"alexnet.sources.{settings.source}").find(Request(settings, seed, main, raw))
    if len(found.classes) < 2:
        raise UserError(f"{found.folder} holds one class, {printable(found.classes[0])}; training needs at least two")
    rows = complete(found.rows, settings.val_fraction, settings.test_fraction, seed, found.classes, found.keep_small)
    if settings.limit is not None:
        rows = limit(rows, settings.limit, seed, found.classes)
    rows.sort(key=lambda row: (SPLITS.index(row.split), row.path, row.offset))
    manifest = Manifest(
        source=f"{settings.source}/{settings.name}" if settings.name else settings.source,
        classes=found.classes,
        mirror=found.mirror,
        pixels=found.pixels,
        root=None if found.folder == raw else settings.root,
        rows=hashed(rows, found.folder),
    )
    return manifest, found.omissions
