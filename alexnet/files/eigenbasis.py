"""``data/eigenbasis.json``: the statistics of the training images' pixels."""

from alexnet.files.record import Record


class Eigenbasis(Record):
    """Mean, covariance and eigenbasis of the RGB pixels, on the 0-255 scale."""

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
