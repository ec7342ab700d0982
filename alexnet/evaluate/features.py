"""What a layer makes of images, and which are near each other in it."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from alexnet.evaluate.crops import views
from alexnet.files.card import Card
from alexnet.models.layers import ACTIVATIONS
from alexnet.models.network import Network


def last_hidden(net: Network) -> str:
    """The last layer of ``net`` with weights before the one that classifies: fc7 in the nets of eight layers."""
    return net.weighted[-2]


def up_to(net: Network, layer: str) -> nn.Sequential:
    """The layers of ``net`` up to ``layer``, which it has; with its activation function if it has weights."""
    names = [name for name, _ in net.named_children()]
    end = names.index(layer) + 1
    activated = layer in net.weighted and end < len(net) and isinstance(net[end], tuple(ACTIVATIONS.values()))
    part: nn.Sequential = net[: end + activated]
    return part


@torch.no_grad()
def features(part: nn.Sequential, images: Tensor, card: Card) -> Tensor:
    """The activations of the last layer of ``part``, float32 (N, units), for the centre crops of ``images``.

    ``images``: (N, 3, size, size) centred and scaled. Maps are flattened.
    """
    outputs: Tensor = part(centre(images, card))
    return outputs.flatten(1)


def centre(images: Tensor, card: Card) -> Tensor:
    """The centre crops of ``images``, (N, 3, size, size) centred and scaled: (N, 3, crop_size, crop_size), channels last."""
    crop = next(views(F.pad(images, 4 * [card.crop_padding]), card.crop_size, card.flip))
    return crop.contiguous(memory_format=torch.channels_last)


def nearest(vectors: NDArray[Any], query: NDArray[np.float32], count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The numbers of the ``count`` vectors, (N, units), with the least Euclidean distance to ``query``, and the distances.

    The nearest comes first, and of equal ones that with the lower number.
    """
    squares = [np.square(some.astype(np.float32) - query).sum(1) for some in np.array_split(vectors, -(-len(vectors) // 256))]
    distances = np.sqrt(np.concatenate(squares))
    chosen = np.argsort(distances, kind="stable")[:count]
    return chosen, distances[chosen]
