"""The card of a trained model: what its weights alone do not say. Read without torch."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from alexnet.errors import UserError
from alexnet.files import read_json


class Eigenbasis(BaseModel):
    """Of the training images' RGB pixels, 0-255 scale; column j of ``eigenvectors`` belongs to eigenvalue j."""

    model_config = ConfigDict(frozen=True)
    images: int
    mean: list[float]
    covariance: list[list[float]]
    eigenvalues: list[float]
    eigenvectors: list[list[float]]
    order: str


class Card(BaseModel):
    """The content of ``models/alexnet.json``."""

    model_config = ConfigDict(frozen=True)
    net: str
    classes: list[str]
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
    """The settings that change numbers, with dotted keys."""
    data: dict[str, Any]
    """Source, images of each split, rejects, and the SHA-256 of each split's shards."""
    epoch: int
    """The epoch whose weights these are."""
    epochs: int
    parameters: int
    sha256: str
    """Of the file with the weights."""


def read_card(path: Path) -> Card:
    """Read a model's card. Raises ``UserError`` where it is missing or damaged."""
    try:
        return Card.model_validate(read_json(path))
    except ValidationError as error:
        field = ".".join(map(str, error.errors()[0]["loc"]))
        raise UserError(f"{path} is no card of a model: {field} is missing or wrong; train again to write it") from None
