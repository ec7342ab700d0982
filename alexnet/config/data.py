"""Settings of the data: where the images come from and how they are prepared."""

from typing import Annotated, Literal

from pydantic import Field

from alexnet.config.section import Natural, Positive, Section
from alexnet.config.sources import SOURCES

Fraction = Annotated[float, Field(gt=0, lt=1)]


class Source(Section):
    """Which images, and how they are divided into train, val and test."""

    source: Literal[tuple(SOURCES)]  # type: ignore[valid-type]
    """Where the images come from."""
    name: str | None
    """The data set (`torchvision` only), by the name of its class in torchvision, such as `Flowers102`."""
    root: str | None
    """Folder with the images (`folder` and `imagenet` only); relative to the repository, `~` is the home folder.

    `s3://bucket/images` is a folder of an object store.
    """
    val_fraction: Fraction
    """Fraction of each class's training images used for validation, if the source has no val split."""
    test_fraction: Fraction
    """Fraction of each class's images used for testing, if the source has no test split."""
    limit: Positive | None
    """At most this many images per split, spread evenly over the classes; null for all."""
    blends: Annotated[int, Field(ge=1, le=1000)]
    """Pictures made from each training digit (`digits` only)."""


class Rejects(Section):
    """What to do about images that cannot be read."""

    max_rejects: Natural
    """Unreadable images that are listed and skipped; one more stops the stage."""


class Data(Source, Rejects):
    """The section ``data``."""


class Pca(Section):
    """The section ``pca``."""

    images: Positive | None
    """Training images used for the eigenbasis, spread evenly; null for all."""


class SquareSize(Section):
    """The size of the square that every image is brought to."""

    size: Annotated[int, Field(ge=32, le=1024)]
    """Side of the square images in pixels; 256 in the paper."""


class Preprocess(SquareSize):
    """The section ``preprocess``."""

    quality: Annotated[int, Field(ge=1, le=100)]
    """JPEG quality of the shards' images."""
