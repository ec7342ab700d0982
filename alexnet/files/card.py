"""``models/alexnet.json``, the card of a trained model: what its weights alone do not say."""

from pathlib import Path
from typing import Any, Self

from alexnet.errors import UserError
from alexnet.files.eigenbasis import Eigenbasis
from alexnet.files.record import Record
from alexnet.files.whole import read_json

FORMAT = 1
"""The version of the card's format, raised when a field changes its meaning."""


class Lineage(Record):
    """Where the images of a training came from."""

    source: str
    images: dict[str, int]
    """Of each split."""
    rejects: int
    """Images that could not be read."""
    sha256: dict[str, str]
    """Over the hashes of each split's shards."""


class Card(Record):
    """The content of the card."""

    format: int
    net: str
    classes: list[str]
    """Names, in label order."""
    size: int
    """Side of the square that images are brought to, in pixels."""
    crop_size: int
    crop_padding: int
    """Pixels of the mean's colour around a square, which crops may reach into."""
    scale: list[float]
    """What the squares are divided by once the mean is subtracted, RGB."""
    flip: bool
    """Whether a mirrored image is still of its class."""
    eigenbasis: Eigenbasis
    settings: dict[str, Any]
    """The settings that change numbers, with dotted keys, sorted; ``init_from`` as ``start_from`` returns it."""
    data: Lineage
    epoch: int
    """The epoch whose weights these are."""
    epochs: int
    parameters: int
    sha256: str
    """Of the file with the weights."""

    @classmethod
    def read(cls, path: Path, remedy: str = "") -> Self:
        """Read a model's card. Raises ``UserError``, as ``read_json`` does, or if it is of another format."""
        content = read_json(path, remedy)
        found = content.get("format", 0) if isinstance(content, dict) and "net" in content else FORMAT
        if isinstance(found, int) and found != FORMAT:
            age = "an older" if found < FORMAT else "a newer"
            raise UserError(
                f"{path} was written by {age} version (format {found}, not {FORMAT}); train again, or use that version"
            )
        return super().read(path, remedy)
