"""AlexNet as in the paper of 2012, trained as a pipeline over two devices."""

from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alexnet.inference.model import Model


def load(path: "str | PathLike[str]" = "models/alexnet.safetensors") -> "Model":
    """Load a trained model: ``alexnet.load().predict(["cat.jpg"])``. See ``alexnet.inference.model.load``."""
    from alexnet.inference.model import load  # imports torch, which takes seconds

    return load(path)
