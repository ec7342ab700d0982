"""Initial weights."""

import hashlib

import torch
from torch import nn

ONES = ("conv2", "conv4", "conv5", "fc6", "fc7")
"""The layers whose biases begin at 1, so that their ReLUs begin with positive inputs (paper, section 5)."""


@torch.no_grad()
def paper(net: nn.Sequential, seed: int) -> None:
    """Weights from N(0, 0.01), biases 1 in ``ONES`` and 0 elsewhere (paper, section 5), in place.

    Each tensor has a random stream of its own, a function of the seed and its name, drawn on the CPU: a slice of the net
    gets the weights that the whole net gets, on any device.
    """
    for name, layer in net.named_children():
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
            digest = hashlib.sha256(f"{seed} {name}.weight".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:8]))
            layer.weight.copy_(torch.empty(layer.weight.shape).normal_(0, 0.01, generator=generator))
            layer.bias.fill_(1.0 if name in ONES else 0.0)


INITS = {"paper": paper}
