"""``data/eigenbasis.json``: the statistics of the training images' pixels."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from alexnet.errors import UserError
from alexnet.files.whole import read_json, write_json


class Eigenbasis(BaseModel):
    """Mean, covariance and eigenbasis of the RGB pixels, on the 0-255 scale."""

    model_config = ConfigDict(frozen=True)
    images: int
    """How many images the pixels are of."""
    mean: list[float]
    """(3,)"""
    covariance: list[list[float]]
    """(3, 3), divided by the number of pixels."""
    eigenvalues: list[float]
    """(3,), descending."""
    eigenvectors: list[list[float]]
    """(3, 3): column j belongs to eigenvalue j; its largest component is positive."""
    order: str
    """The order of the channels: RGB."""


def write_eigenbasis(path: Path, eigenbasis: Eigenbasis) -> None:
    """Write ``eigenbasis`` as JSON."""
    write_json(path, eigenbasis.model_dump())


def read_eigenbasis(path: Path) -> Eigenbasis:
    """Read what ``write_eigenbasis`` wrote. Raises ``UserError`` if the file is missing or damaged."""
    try:
        return Eigenbasis.model_validate(read_json(path))
    except ValidationError as error:
        field = ".".join(map(str, error.errors()[0]["loc"]))
        raise UserError(f"{path} is damaged ({field} is missing or wrong); run `dvc repro` to write it again") from None
