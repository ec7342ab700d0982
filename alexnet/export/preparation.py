"""How an image's pixels become the net's inputs: as part of the graph, or described in its metadata."""

import base64
import io
import json

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.evaluate.crops import views
from alexnet.files.card import Card
from alexnet.models.network import Network


class Prepared(nn.Module):
    """The net with the preparation in front of it: uint8 RGB (N, size, size, 3) in, probabilities (N, classes) out."""

    mean: Tensor
    scale: Tensor

    def __init__(self, net: Network, mean: Tensor, card: Card) -> None:
        super().__init__()
        self.net, self.crop_size, self.padding = net, card.crop_size, card.crop_padding
        self.register_buffer("mean", mean)
        self.register_buffer("scale", torch.tensor(card.scale)[:, None, None])

    def forward(self, pixels: Tensor) -> Tensor:
        """The probabilities of the centre crop."""
        images = (pixels.permute(0, 3, 1, 2) - self.mean) / self.scale
        padded = F.pad(images, 4 * [self.padding]) if self.padding else images
        center = next(views(padded, self.crop_size, flip=False))
        return torch.as_tensor(self.net(center)).softmax(1)


def metadata(card: Card, mean: Tensor, inside: bool) -> dict[str, str]:
    """What a program needs to know about the graph, by key; ``inside``: the preparation is part of it.

    ``mean``: (3, size, size). If its pixels differ, it is given as a whole: base64 of a .npy file.
    """
    color = mean[:, 0, 0]
    varies = bool((mean != color[:, None, None]).any())
    outside = {
        "mean": "alexnet.mean" if varies else color.tolist(),
        "scale": card.scale,
        "padding": card.crop_padding,
        "crop": card.crop_size,
        "input": f"float32 RGB (N, 3, {card.crop_size}, {card.crop_size})",
        "steps": "subtract mean from the pixels (0-255), divide by scale, pad with 0, cut out the centre",
    }
    steps = {
        "size": card.size,
        "square": "shorter side to size, cut out the centre: uint8 RGB (size, size, 3)",
        **({"input": f"uint8 RGB (N, {card.size}, {card.size}, 3)"} if inside else outside),
    }
    found = {
        "alexnet.card": card.model_dump_json(),
        "alexnet.classes": json.dumps(card.classes, ensure_ascii=False),
        "alexnet.preparation": json.dumps(steps),
    }
    if varies and not inside:
        file = io.BytesIO()
        np.save(file, mean.numpy())
        found["alexnet.mean"] = base64.b64encode(file.getvalue()).decode()
    return found
