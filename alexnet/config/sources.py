"""The registry of sources. A source is a row here and a file, ``alexnet/sources/NAME.py``, that finds its images."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SourceSpec:
    """What the check of the settings, the report and the documents know of a source."""

    title: str
    """Its name in a sentence."""
    needs_root: bool = False
    """Whether ``data.root`` must name the folder that holds it."""
    needs_name: bool = False
    """Whether ``data.name`` must say which of several data sets it is."""


SOURCES = {
    "digits": SourceSpec("digits"),
    "cifar10": SourceSpec("CIFAR-10"),
    "imagenette": SourceSpec("Imagenette"),
    "torchvision": SourceSpec("a data set of torchvision", needs_name=True),
    "imagenet": SourceSpec("ImageNet", needs_root=True),
    "folder": SourceSpec("your own images", needs_root=True),
}
