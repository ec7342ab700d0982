"""Which images are for training, validation and test, and which a limit leaves out."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from alexnet.errors import UserError
from alexnet.names import printable
from alexnet.sources.manifest import SPLITS, Row


def draw_key(*parts: object) -> bytes:
    """The sort key of a thing in a draw, a function of ``parts`` (seed, purpose, name).

    A hash, so that an image keeps its split when others come or go.
    """
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogateescape")).digest()


def draw(
    keys: Sequence[str], labels: Sequence[int], fraction: float, seed: int, purpose: str, classes: Sequence[str]
) -> set[int]:
    """Draw ``fraction`` of each class, at least one; returns positions in ``keys``.

    Raises ``UserError`` if a class would have nothing left.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for position, label in enumerate(labels):
        members[label].append(position)
    drawn: set[int] = set()
    for label, positions in sorted(members.items()):
        count = max(1, round(fraction * len(positions)))
        if count >= len(positions):
            raise UserError(
                f"class {printable(classes[label])} has {len(positions)} images left for training, too few to take "
                f"data.{purpose}_fraction: {fraction} of them for {purpose}; add images, or a folder {purpose} of their own"
            )
        drawn.update(sorted(positions, key=lambda position: draw_key(seed, purpose, keys[position]))[:count])
    return drawn


def complete(rows: Sequence[Row], val_fraction: float, test_fraction: float, seed: int, classes: Sequence[str]) -> list[Row]:
    """Carve the splits that the source lacks out of its training images, test first."""
    rows = list(rows)
    for purpose, fraction in (("test", test_fraction), ("val", val_fraction)):
        if any(row.split == purpose for row in rows):
            continue
        places = [place for place, row in enumerate(rows) if row.split == "train"]
        keys = [rows[place].place for place in places]
        labels = [rows[place].label for place in places]
        for position in draw(keys, labels, fraction, seed, purpose, classes):
            rows[places[position]] = rows[places[position]]._replace(split=purpose)
    return rows


def limit(rows: Sequence[Row], most: int, seed: int, classes: Sequence[str]) -> list[Row]:
    """At most ``most`` images per split, drawn so that the classes stay as even as possible.

    Raises ``UserError`` if a class would not keep a training image.
    """
    if most < len(classes):
        raise UserError(f"data.limit: {most} is less than the {len(classes)} classes; increase it, or set null for all images")
    kept: list[Row] = []
    for split in SPLITS:
        members: dict[int, list[Row]] = defaultdict(list)
        for row in rows:
            if row.split == split:
                members[row.label].append(row)
        # One image of each class in turn, until the limit is reached.
        turns = [
            (turn, label, row)
            for label, group in members.items()
            for turn, row in enumerate(sorted(group, key=lambda row: draw_key(seed, "limit", row.place)))
        ]
        kept += [row for _, _, row in sorted(turns, key=lambda entry: entry[:2])[:most]]
    return kept
