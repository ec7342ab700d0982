"""A registered model as MLflow serves it: MLflow loads this module, which loads the weights and their card.

The model's ``MLmodel``, which ``alexnet.tracking.registry`` writes, names this module, and the package ``alexnet`` is copied beside
the model: it is served by the code that it was trained with.
"""

from pathlib import Path
from typing import Any

import torch
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from alexnet.evaluate.predictions import probabilities
from alexnet.files.card import Card
from alexnet.input.augment import Normalization, apply, center_views
from alexnet.models.numerics import prepare_process
from alexnet.models.saved import load_model
from alexnet.prepare.pixels import BadImage, canonical


class Rejected(MlflowException):
    """A request that no answer fits, as HTTP status 400 with one line."""

    def __init__(self, why: str) -> None:
        super().__init__(why, BAD_REQUEST)

    def serialize_as_json(self) -> str:
        """The body of the answer, without the request, which MLflow writes in front of the message."""
        self.message = str(self)
        return str(super().serialize_as_json())  # type: ignore[no-untyped-call]


class Classifier:
    """The model, with the method that MLflow calls."""

    def __init__(self, card: Path) -> None:
        """``card``: the model's card, beside its weights."""
        self._card = Card.read(card)
        prepare_process(self._card.settings["threads"])
        self._net, mean = load_model(card.with_suffix(".safetensors"), self._card)
        self._normalization = Normalization.of(mean, self._card.scale, padding=0, device=mean.device)

    def predict(self, images: Any, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """The most probable classes of each image, most probable first.

        ``images``: a data frame whose column ``image`` has the bytes of image files. ``params``: ``top``, how many classes, and
        ``ten_crop``, whether to average over ten crops. Raises ``Rejected``.
        """
        options = params or {}
        top = min(options.get("top", 5), len(self._card.classes))
        if top < 1:
            raise Rejected(f"top: {top} is not valid; it should be at least 1")
        return [
            self._classes(number, payload, top, options.get("ten_crop", False)) for number, payload in enumerate(images["image"])
        ]

    def _classes(self, number: int, payload: bytes, top: int, ten_crop: bool) -> dict[str, Any]:
        torch.set_num_threads(self._card.settings["threads"])  # MLflow calls from threads of its own, each with torch's default
        try:
            pixels = torch.tensor(canonical(bytes(payload), self._card.size))[None]
        except BadImage as error:
            raise Rejected(f"image {number} cannot be read ({error}); send the base64 of an image file") from None
        found = probabilities(self._net, apply(pixels, center_views(1, 0), self._normalization), self._card)
        likely, labels = (found.ten_crop if ten_crop else found.center)[0].topk(top)
        return {"classes": [self._card.classes[label] for label in labels.tolist()], "probabilities": likely.tolist()}


def _load_pyfunc(card: str) -> Classifier:
    """What MLflow calls."""
    return Classifier(Path(card))
