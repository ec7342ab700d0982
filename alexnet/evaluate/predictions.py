"""Class probabilities of images, from a trained net."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.evaluate.crops import views
from alexnet.files.card import Card
from alexnet.models.network import Network


@dataclass(frozen=True)
class Probabilities:
    """Softmax outputs, float32 (N, classes)."""

    center: Tensor
    ten_crop: Tensor
    """The mean over the views: ten, or five if a mirrored image is not of its class."""

    def first(self, count: int) -> "Probabilities":
        """Those of the first ``count`` images."""
        return Probabilities(self.center[:count], self.ten_crop[:count])


def probabilities(net: Network, images: Tensor, card: Card) -> Probabilities:
    """Predict ``images``, (N, 3, size, size) centred and scaled, in float32 whatever the training's precision.

    Probabilities are averaged, never logits (paper, section 4.1). A number may depend on N in its last bits: keep N fixed.
    """
    found = list(outputs(net, images, card))
    return Probabilities(found[0], torch.stack(found).mean(0))


@torch.no_grad()
def outputs(net: Network, images: Tensor, card: Card) -> Iterator[Tensor]:
    """The softmax outputs, float32 (N, classes), of each view of ``images``, one after the other; the centre crop is first."""
    for crop in views(F.pad(images, 4 * [card.crop_padding]), card.crop_size, card.flip):
        yield net(crop.contiguous(memory_format=torch.channels_last)).softmax(1)
