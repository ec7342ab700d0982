"""``data/eigenbasis.json``: the statistics of the training images' pixels."""

from typing import Annotated, Literal

from pydantic import Field

from alexnet.files.record import Record

ByChannel = Field(min_length=3, max_length=3)
Vector = Annotated[list[float], ByChannel]
Matrix = Annotated[list[Vector], ByChannel]


class Eigenbasis(Record):
    """Mean, covariance and eigenbasis of the RGB pixels, on the 0-255 scale."""

    images: int
    """How many images the pixels are of."""
    mean: Vector
    """(3,)"""
    covariance: Matrix
    """(3, 3), divided by the number of pixels."""
    eigenvalues: Vector
    """(3,), descending."""
    eigenvectors: Matrix
    """(3, 3): column j belongs to eigenvalue j; its largest component is positive."""
    order: Literal["RGB"]
    """The order of the channels."""
