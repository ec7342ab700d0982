"""Class probabilities of images, from a trained net."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.data.augment import Normalization, apply, center_views
from alexnet.data.pixels import canonical
from alexnet.evaluation.ten_crop import views
from alexnet.model.card import Card
from alexnet.model.network import Network


@dataclass(frozen=True)
class Probabilities:
    """Softmax outputs, float32 (N, classes)."""

    center: Tensor
    ten_crop: Tensor
    """The mean over the views: ten, or five where a mirrored image is not of its class."""


def prepared(image: Path, card: Card, mean: Tensor) -> Tensor:
    """An image's file as the net takes it, before cropping: (1, 3, size, size) on the CPU. ``mean``: (3, size, size).

    Raises ``BadImage`` and ``OSError``.
    """
    square = torch.tensor(canonical(image.read_bytes(), card.size))[None]
    return apply(square, center_views(1, 0), Normalization.of(mean, card.scale, padding=0, device=square.device))


@torch.no_grad()
def probabilities(net: Network, images: Tensor, card: Card) -> Probabilities:
    """Test ``images``, (N, 3, size, size) centred and scaled, in float32 whatever the training's precision.

    Probabilities are averaged, never logits (paper, section 4.1). A number may depend on N in its last bits: keep N fixed.
    """
    crops = views(F.pad(images, 4 * [card.crop_padding]), card.crop_size, card.flip)
    outputs = [net(crop.contiguous(memory_format=torch.channels_last)).softmax(1) for crop in crops]
    return Probabilities(outputs[0], torch.stack(outputs).mean(0))
