"""A trained model for use from Python: ``alexnet.load``."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image as PillowImage
from torch import Tensor

from alexnet.errors import UserError
from alexnet.evaluate.features import features, last_hidden, up_to
from alexnet.evaluate.predictions import Probabilities, outputs, probabilities
from alexnet.files.card import Card
from alexnet.files.whole import sha256_of
from alexnet.home import expanded
from alexnet.inference.images import BATCH, Image, Preparation, read_batches
from alexnet.input.augment import Normalization, apply, center_views
from alexnet.models.build import build
from alexnet.models.devices import computing_device
from alexnet.models.network import Network, Switches
from alexnet.models.saved import load_model, read_weights
from alexnet.nearest import nearest, refuse_unknown

MODEL = Path("models/alexnet.safetensors")
"""The model that the workspace's training wrote."""


class Guess(NamedTuple):
    """A class and its probability."""

    name: str
    probability: float


@dataclass(frozen=True)
class Model:
    """A trained net, its card, and how it prepares images. Made by ``load``."""

    net: Network
    card: Card
    normalization: Normalization
    preparation: Preparation

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in label order."""
        return self.card.classes

    def predict(self, images: Image | Sequence[Image], *, top: int = 5, ten_crop: bool = False) -> list[list[Guess]]:
        """The ``top`` most probable classes of each image, the most probable first; of a single image, a list of one.

        ``images``: paths, contents of files (bytes), Pillow images, or RGB pixels, uint8 (height, width, 3). ``ten_crop``:
        average the probabilities of ten crops (five if mirror images are not of their class) instead of the centre crop alone.
        Raises ``UserError`` if an image cannot be read.
        """
        return [
            self.guesses(row, top) for squares in self._squares(images) for row in self.probabilities(squares, ten_crop=ten_crop)
        ]

    def features(self, images: Image | Sequence[Image], layer: str | None = None) -> NDArray[np.float32]:
        """The activations of ``layer`` for the centre crop of each image, float32 (N, units); maps are flattened.

        For a layer with weights, they are taken after its activation function. None: the last hidden layer, fc7 in the nets
        of eight layers. Raises ``UserError`` if the net has no such layer, or an image cannot be read.
        """
        return np.concatenate([self.activations(squares, layer) for squares in self._squares(images)])

    def probabilities(self, squares: NDArray[np.uint8], *, ten_crop: bool) -> Tensor:
        """Softmax outputs, float32 (N, classes), of squares (N, size, size, 3): of the centre crop, or the mean of ten."""
        images = self._inputs(squares)
        return probabilities(self.net, images, self.card).ten_crop if ten_crop else next(outputs(self.net, images, self.card))

    def both(self, squares: NDArray[np.uint8]) -> Probabilities:
        """The probabilities of the centre crop and of the ten crops."""
        return probabilities(self.net, self._inputs(squares), self.card)

    def activations(self, squares: NDArray[np.uint8], layer: str | None = None) -> NDArray[np.float32]:
        """The activations of ``layer`` as of ``features``, for squares (N, size, size, 3)."""
        part = up_to(self.net, self.layer(layer))
        return features(part, self._inputs(squares), self.card).cpu().numpy()

    def layer(self, name: str | None) -> str:
        """``name``, or that of the last hidden layer if it is None. Raises ``UserError`` if the net has no such layer."""
        if name is None:
            return last_hidden(self.net)
        refuse_unknown("layer", name, [layer for layer, _ in self.net.named_children()])
        return name

    def guesses(self, likely: Tensor, top: int) -> list[Guess]:
        """The ``top`` classes of an image's probabilities, (classes,)."""
        best, labels = likely.topk(min(top, len(self.classes)))
        return [
            Guess(self.classes[label], probability) for probability, label in zip(best.tolist(), labels.tolist(), strict=True)
        ]

    def _squares(self, images: Image | Sequence[Image]) -> Iterator[NDArray[np.uint8]]:
        several = [images] if isinstance(images, str | os.PathLike | bytes | PillowImage | np.ndarray) else images
        for number, batch in enumerate(read_batches(several, [self.preparation])):
            for place, reason in batch.bad.items():
                image = batch.images[place]
                name = image if isinstance(image, str | os.PathLike) else f"image {BATCH * number + place}"
                raise UserError(f"{name} cannot be read as an image ({reason}); leave it out")
            yield batch.squares[self.preparation]

    def _inputs(self, squares: NDArray[np.uint8]) -> Tensor:
        pixels = torch.from_numpy(squares).to(self.normalization.mean.device)
        return apply(pixels, center_views(len(squares), 0), self.normalization)


def load(path: str | os.PathLike[str] = MODEL) -> Model:
    """Load a model of this project with the card beside it, or torchvision's published weights of ``alexnet`` (``.pth``).

    It computes in float32, on a GPU if there is one. Raises ``UserError`` if a file is missing or damaged, or the GPU cannot be
    used.
    """
    path = expanded(str(path), "--model")
    if not path.is_file():
        raise UserError(f"{path} is missing; {_remedy(path)}")
    net, mean, card = _published(path) if path.suffix == ".pth" else _ours(path)
    device = computing_device()
    normalization = Normalization.of(mean, card.scale, padding=0, device=device)
    return Model(net.to(device), card, normalization, Preparation(card.size, torchvision=path.suffix == ".pth"))


def _remedy(path: Path) -> str:
    others = [file.name for file in path.parent.glob("*") if file.suffix in (".safetensors", ".pth")]
    if near := nearest(path.name, others):
        return f"did you mean {path.with_name(near)}?"
    return ("run `dvc repro` to train it, or " if _is_the_workspaces(path) else "") + "choose a model with --model"


def _is_the_workspaces(path: Path) -> bool:
    return path.resolve() == MODEL.resolve()


def _ours(path: Path) -> tuple[Network, Tensor, Card]:
    # `dvc repro` makes no card for a copied model.
    copied = f"the card of {path.name} belongs there: copy the {MODEL.with_suffix('.json')} that the same training wrote"
    card = Card.read(path.with_suffix(".json"), "" if _is_the_workspaces(path) else copied)
    return *load_model(path, card), card


def _published(path: Path) -> tuple[Network, Tensor, Card]:
    try:
        from torchvision.models import AlexNet_Weights  # type: ignore[import-untyped]
    except ImportError:
        raise UserError(f"--model: {path} needs torchvision, which has the names of its classes; install it") from None
    published = AlexNet_Weights.IMAGENET1K_V1
    preset, classes = published.transforms(), published.meta["categories"]
    (size,), (crop_size,) = preset.resize_size, preset.crop_size
    names = Switches.__dataclass_fields__
    chosen = {"activation": "relu", "dropout": "inverted", "crop_size": crop_size, "seed": 0}
    net = build("alexnet-owt", len(classes), Switches.of(dict.fromkeys(names) | chosen))
    try:
        net.load_state_dict(read_weights(path, "--model"), assign=True)
    except RuntimeError as error:
        why = str(error).splitlines()[-1].strip()
        raise UserError(f"--model: {path} does not hold torchvision's alexnet of {len(classes):,} classes ({why})") from None
    # torchvision's pixels are 0 to 1. No training of ours made this: the card lacks what it would say of one.
    card = Card.model_construct(
        net="alexnet-owt",
        classes=classes,
        size=size,
        crop_size=crop_size,
        crop_padding=0,
        scale=[255 * deviation for deviation in preset.std],
        flip=True,
        sha256=sha256_of(path),
    )
    mean = torch.tensor(preset.mean).mul(255)[:, None, None].expand(3, size, size)
    return net.eval().to(memory_format=torch.channels_last), mean, card
