"""Models with random weights, and their answers when exported."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from helpers.cards import card_of
from helpers.nets import net_of
from PIL import Image

from alexnet.export.export import export
from alexnet.files.card import Card
from alexnet.inference.images import Preparation
from alexnet.inference.model import Model
from alexnet.input.augment import Normalization

Patch = Callable[[int, int, int], Image.Image]


def model_of(name: str, mean: torch.Tensor | None = None, **changes: Any) -> Model:
    """A model with random weights; ``mean``: its mean image, by default one that varies."""
    card = card_of(name, scale=[60.0, 61.0, 62.0])
    torch.manual_seed(0)
    varying = 100 + 50 * torch.rand(3, card.size, card.size) if mean is None else mean.expand(3, card.size, card.size)
    normalization = Normalization.of(varying, card.scale, padding=0, device=torch.device("cpu"))
    return Model(net_of(name, **changes).eval(), card, normalization, Preparation(card.size))


def squares_of(model: Model, patch: Patch, count: int = 3) -> np.ndarray:
    size = model.card.size
    return np.stack([np.asarray(patch(number, size, size)) for number in range(count)])


def assert_onnx_answers_as_torch(name: str, path: Path, patch: Patch) -> None:
    """A net of that name, exported to ``path``, has torch's answers to photographs, and its card."""
    model = model_of(name)
    assert export(model, path, "onnx", prepared=True) < 1e-4
    session = onnxruntime.InferenceSession(path)
    path.unlink()
    pixels = squares_of(model, patch)
    (found,) = session.run(None, {"pixels": pixels})
    np.testing.assert_allclose(found, model.probabilities(pixels, ten_crop=False), atol=1e-5)
    assert found.std() > 1e-4  # the images do not all look alike to it
    known = session.get_modelmeta().custom_metadata_map
    assert json.loads(known["alexnet.classes"]) == model.classes
    assert Card.model_validate_json(known["alexnet.card"]) == model.card
