"""A registered model as MLflow serves it: MLflow loads this module, which loads the weights and their card.

The model's ``MLmodel``, which ``alexnet.tracking.registry`` writes, names this module. The package ``alexnet`` is copied beside
the model, so it is served by the code that trained it.
"""

from pathlib import Path
from typing import Any

import torch
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from alexnet.errors import UserError
from alexnet.inference.model import Model, load
from alexnet.input.loader import thread_count
from alexnet.models.numerics import prepare_process


class Rejected(MlflowException):
    """A request that has no answer: HTTP status 400 with one line."""

    def __init__(self, why: object) -> None:
        super().__init__(str(why), BAD_REQUEST)

    def serialize_as_json(self) -> str:
        """The body of the answer, without the request, which MLflow writes in front of the message."""
        self.message = str(self)
        return str(super().serialize_as_json())  # type: ignore[no-untyped-call]


class Classifier:
    """The model, with the method that MLflow calls."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def predict(self, images: Any, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """The most probable classes of each image and their probabilities, the most probable first.

        ``images``: a data frame whose column ``image`` has the contents of image files. ``params``: ``top``, how many classes,
        and ``ten_crop``, whether to average over ten crops. Raises ``Rejected``.
        """
        options = {"top": 5, "ten_crop": False} | (params or {})
        if options["top"] < 1:
            raise Rejected(f"top: {options['top']} is not valid; it should be at least 1")
        torch.set_num_threads(thread_count(None, processes=1))  # torch's default in MLflow's threads may be another
        try:
            guesses = self._model.predict([bytes(payload) for payload in images["image"]], **options)
        except UserError as error:
            raise Rejected(error) from None
        return [
            {"classes": [guess.name for guess in found], "probabilities": [guess.probability for guess in found]}
            for found in guesses
        ]


def _load_pyfunc(card: str) -> Classifier:
    """What MLflow calls, with the path of the model's card."""
    prepare_process(thread_count(None, processes=1))
    return Classifier(load(Path(card).with_suffix(".safetensors")))
