"""Initial weights."""

import hashlib
import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Generator, Tensor, nn

ONES = ("conv2", "conv4", "conv5", "fc6", "fc7")
"""The layers whose biases start at 1, so that their ReLUs start with positive inputs (paper, section 5)."""

Init = Callable[[str, Tensor, Tensor, Generator], None]
"""Fills a layer in place, given its name, weight (out, in, ...), bias (out,) and random stream."""


def paper(name: str, weight: Tensor, bias: Tensor, stream: Generator) -> None:
    """Weights from N(0, 0.01²), biases 1 in ``ONES`` and 0 elsewhere (paper, section 5)."""
    weight.normal_(0, 0.01, generator=stream)
    bias.fill_(name in ONES)


def code(name: str, weight: Tensor, bias: Tensor, stream: Generator) -> None:
    """As ``paper``, but weights of conv3, conv4 and conv5 from N(0, 0.03²): the authors' ``layers-145.cfg``."""
    weight.normal_(0, 0.03 if name in ("conv3", "conv4", "conv5") else 0.01, generator=stream)
    bias.fill_(name in ONES)


def kaiming(name: str, weight: Tensor, bias: Tensor, stream: Generator) -> None:
    """Weights from N(0, 2 / inputs), biases 0 (He, Zhang, Ren, Sun 2015)."""
    nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=stream)
    bias.zero_()


def xavier(name: str, weight: Tensor, bias: Tensor, stream: Generator) -> None:
    """Weights uniform within ±√(6 / (inputs + outputs)), biases 0 (Glorot, Bengio 2010)."""
    nn.init.xavier_uniform_(weight, generator=stream)
    bias.zero_()


def as_torch(name: str, weight: Tensor, bias: Tensor, stream: Generator) -> None:
    """Weights and biases uniform within ±1 / √inputs: the initial weights of torch's layers, and of torchvision's net."""
    bound = 1 / math.sqrt(weight[0].numel())
    weight.uniform_(-bound, bound, generator=stream)
    bias.uniform_(-bound, bound, generator=stream)


def cifar_code(name: str, weight: Tensor, bias: Tensor, stream: Generator) -> None:
    """Weights of conv1 from N(0, 0.0001²), others from N(0, 0.01²), biases 0: cuda-convnet's ``layers-18pct.cfg``."""
    weight.normal_(0, 0.0001 if name == "conv1" else 0.01, generator=stream)
    bias.zero_()


INITS: dict[str, Init] = {
    "paper": paper,
    "code": code,
    "kaiming": kaiming,
    "xavier": xavier,
    "torch": as_torch,
    "cifar-code": cifar_code,
}


@torch.no_grad()
def initialize(net: nn.Sequential, init: str, seed: int) -> None:
    """Give ``net`` its initial weights, in place, on the CPU.

    Each layer has its own random stream, a function of the seed and its name, so a slice of the net gets the weights that the
    whole net gets.
    """
    net.to_empty(device="cpu")
    for name, layer in net.named_children():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            digest = hashlib.sha256(f"{seed} {name}.weight".encode()).digest()
            stream = torch.Generator().manual_seed(int.from_bytes(digest[:8]))
            INITS[init](name, layer.weight, cast(Tensor, layer.bias), stream)
