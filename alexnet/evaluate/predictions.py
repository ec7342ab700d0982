"""Class probabilities of images, from a trained net."""

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

    def of(self, images: slice) -> "Probabilities":
        """Those of some of the images."""
        return Probabilities(self.center[images], self.ten_crop[images])


@torch.no_grad()
def probabilities(net: Network, images: Tensor, card: Card) -> Probabilities:
    """Predict ``images``, (N, 3, size, size) centred and scaled, in float32 whatever the training's precision.

    Probabilities are averaged, never logits (paper, section 4.1). A number may depend on N in its last bits: keep N fixed.
    """
    crops = views(F.pad(images, 4 * [card.crop_padding]), card.crop_size, card.flip)
    outputs = [net(crop.contiguous(memory_format=torch.channels_last)).softmax(1) for crop in crops]
    return Probabilities(outputs[0], torch.stack(outputs).mean(0))
