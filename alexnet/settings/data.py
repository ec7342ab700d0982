"""Settings of the data: where the images come from and what becomes of them."""

from typing import Annotated, Literal

from pydantic import Field

from alexnet.settings.section import Natural, Positive, Section

Fraction = Annotated[float, Field(gt=0, lt=1)]


class Source(Section):
    """Which images, and how they are divided into train, val and test."""

    source: Literal["digits", "cifar10", "imagenette", "imagenet", "folder"]
    """Where the images come from."""
    root: str | None
    """The user's own folder, for ``folder`` and ``imagenet``; a relative one starts at the main repository."""
    val_fraction: Fraction
    """Part of the training images, of each class alike, kept for validation where the source has no own."""
    test_fraction: Fraction
    """Part of the images, of each class alike, kept for the test where the source has no own."""
    limit: Positive | None
    """At most so many images a split, spread evenly over the classes; null for all."""
    blends: Positive
    """For ``digits``: how many pictures are made of each training digit."""


class Rejects(Section):
    """What to do about images that cannot be read."""

    max_rejects: Natural
    """More unreadable images than this stop the stage; up to this many are listed and left out."""


class Data(Source, Rejects):
    """The section ``data``."""


class Pca(Section):
    """The section ``pca``."""

    images: Positive | None
    """The eigenbasis of so many training images, drawn evenly; null for all."""
    workers: Positive | None
    """Processes; null for one a core. Changes no byte of the result."""


class Canon(Section):
    """The square that every image is brought to."""

    size: Annotated[int, Field(ge=32, le=1024)]
    """Side of the square in pixels; the paper's is 256."""


class Preprocess(Canon):
    """The section ``preprocess``."""

    quality: Annotated[int, Field(ge=1, le=100)]
    """JPEG quality of the shards' images."""
    workers: Positive | None
    """Processes; null for one a core. Changes no byte of the result."""
