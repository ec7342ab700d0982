"""Cards of models that no training made."""

from collections.abc import Sequence
from typing import Any

from helpers.nets import settings_of

from alexnet.config.nets import NETS
from alexnet.files.card import FORMAT, Card


def card_of(model: str = "alexnet-32", names: Sequence[str] = "0123456789", **changes: Any) -> Card:
    """The card of a net as its recipe has it, on classes with these names, with changes of its fields."""
    settings = settings_of(NETS[model].recipe, precision="float32", threads=1)
    content = {
        "format": FORMAT,
        "net": model,
        "classes": list(names),
        "size": settings["preprocess"]["size"],
        "crop_size": settings["crop_size"],
        "crop_padding": settings["crop_padding"],
        "scale": [1.0, 1.0, 1.0],
        "flip": True,
        "eigenbasis": {
            "images": 1,
            "mean": [0.0, 0.0, 0.0],
            "covariance": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            "eigenvalues": [1.0, 1.0, 1.0],
            "eigenvectors": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            "order": "RGB",
        },
        "settings": settings,
        "data": {"source": "digits", "images": {"train": 1, "val": 1, "test": 1}, "rejects": 0, "sha256": {}},
        "epoch": 1,
        "epochs": 2,
        "parameters": 1,
        "sha256": "",
    }
    return Card.model_validate(content | changes)
