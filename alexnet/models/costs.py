"""What a net costs: parameters and multiply-accumulates of each layer with weights."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from alexnet.models.network import WEIGHTED, Network, dry_run


@dataclass(frozen=True)
class Cost:
    """Of one layer."""

    parameters: int
    """Weights and biases."""
    macs: int
    """Multiply-accumulates of one image's forward pass; adding the biases is not counted."""


def costs(net: Network, crop_size: int) -> dict[str, Cost]:
    """The cost of each layer of ``net`` with weights, by name, for crops of ``crop_size`` pixels; only shapes are computed."""
    found = {}
    maps = torch.empty(1, 3, crop_size, crop_size, device="meta")
    for name, layer in net.named_children():
        maps = dry_run(Network([(name, layer)]), maps)
        if isinstance(layer, WEIGHTED):
            found[name] = cost(layer, maps)
    return found


def cost(layer: WEIGHTED, outputs: Tensor) -> Cost:
    """The cost of ``layer``, whose outputs for one or more images are ``outputs``."""
    # A convolution uses its weights at each place of the maps that come out, the other layers use them once.
    uses = outputs[0, 0].numel() if isinstance(layer, nn.Conv2d) else 1
    return Cost(sum(parameter.numel() for parameter in layer.parameters()), uses * layer.weight.numel())


def training_flops(net: Network, crop_size: int) -> int:
    """Floating-point operations of one image's training step: forward, and backward for weights and for inputs.

    Two per multiply-accumulate of layers with weights; the first of these needs no gradient of its input.
    """
    macs = [cost.macs for cost in costs(net, crop_size).values()]
    return 2 * (3 * sum(macs) - macs[0])
