"""Which images are for training, validation and test, and which a limit leaves out."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from itertools import zip_longest

from alexnet.errors import UserError
from alexnet.names import printable
from alexnet.sources.manifest import SPLITS, Row


def draw_key(*parts: object) -> bytes:
    """The sort key of a thing in a draw, a function of ``parts`` (seed, purpose, name).

    A hash, so that an image keeps its split when others come or go.
    """
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogateescape")).digest()


def complete(
    rows: Sequence[Row],
    val_fraction: float,
    test_fraction: float,
    seed: int,
    classes: Sequence[str],
    keep_small: bool = False,
) -> list[Row]:
    """Carve the splits that the source lacks out of its training images, test first: a fraction of each class, at least one.

    A class that would have nothing left stays as it is with ``keep_small``, else raises ``UserError``.
    """
    rows = list(rows)
    for purpose, fraction in (("test", test_fraction), ("val", val_fraction)):
        if any(row.split == purpose for row in rows):
            continue
        for label, places in by_class(rows, "train"):
            count = max(1, round(fraction * len(places)))
            if count >= len(places):
                if keep_small:
                    continue
                raise UserError(
                    f"class {printable(classes[label])} has {len(places)} images left for training, too few to take "
                    f"data.{purpose}_fraction: {fraction} of them for {purpose}; add images, or a folder {purpose} of their own"
                )
            for place in sorted(places, key=lambda place: draw_key(seed, purpose, rows[place].place))[:count]:
                rows[place] = rows[place]._replace(split=purpose)
    return rows


def limit(rows: Sequence[Row], most: int, seed: int, classes: Sequence[str]) -> list[Row]:
    """At most ``most`` images per split, drawn so that the classes stay as even as possible.

    Raises ``UserError`` if a class would not keep a training image.
    """
    if most < len(classes):
        raise UserError(f"data.limit: {most} is less than the {len(classes)} classes; increase it, or set null for all images")
    kept: list[Row] = []
    for split in SPLITS:
        drawn = [
            sorted((rows[place] for place in places), key=lambda row: draw_key(seed, "limit", row.place))
            for _, places in by_class(rows, split)
        ]
        # One image of each class in turn.
        kept += [row for turn in zip_longest(*drawn) for row in turn if row][:most]
    return kept


def by_class(rows: Sequence[Row], split: str) -> list[tuple[int, list[int]]]:
    """Each label in a split, ascending, with the indexes of its rows."""
    found: dict[int, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        if row.split == split:
            found[row.label].append(index)
    return sorted(found.items())
