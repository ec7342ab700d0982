"""``models/alexnet.json``, the card of a trained model: what its weights alone do not say."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from alexnet.errors import UserError
from alexnet.files.eigenbasis import Eigenbasis
from alexnet.files.whole import read_json, write_json

FORMAT = 1
"""The version of the card's format, raised when a field changes its meaning."""


class Lineage(BaseModel):
    """Where the images of a training came from."""

    model_config = ConfigDict(frozen=True)
    source: str
    images: dict[str, int]
    """Of each split."""
    rejects: int
    """Images that could not be read."""
    sha256: dict[str, str]
    """Over the hashes of each split's shards."""


class Card(BaseModel):
    """The content of the card."""

    model_config = ConfigDict(frozen=True)
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
    """The settings that change numbers, with dotted keys, sorted; ``init_from`` as the file's SHA-256."""
    data: Lineage
    epoch: int
    """The epoch whose weights these are."""
    epochs: int
    parameters: int
    sha256: str
    """Of the file with the weights."""


def write_card(path: Path, card: Card) -> None:
    """Write ``card`` as JSON."""
    write_json(path, card.model_dump())


def read_card(path: Path) -> Card:
    """Read a model's card. Raises ``UserError`` if it is missing, damaged or of another format."""
    content = read_json(path)
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT and isinstance(content, dict) and "net" in content:
        age = "an older" if found is None or found < FORMAT else "a newer"
        raise UserError(f"{path} was written by {age} version (format {found}, not {FORMAT}); train again, or use that version")
    try:
        return Card.model_validate(content)
    except ValidationError as error:
        field = ".".join(map(str, error.errors()[0]["loc"]))
        raise UserError(f"{path} is not a model's card: {field} is missing or wrong; train again to write it") from None
