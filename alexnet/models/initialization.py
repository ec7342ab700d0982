"""Initial weights."""

import hashlib
import math
from collections.abc import Callable, Collection
from typing import cast

import torch
from torch import Generator, Tensor, nn

from alexnet.models.local import LocallyConnected2d
from alexnet.models.network import WEIGHTED

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
    """Weights of conv1 from N(0, 0.0001²), of local3 and local4 from N(0, 0.04²), others from N(0, 0.01²), biases 0.

    cuda-convnet's ``layers-18pct.cfg`` and ``layers-conv-local-13pct.cfg``.
    """
    weight.normal_(0, {"conv1": 0.0001, "local3": 0.04, "local4": 0.04}.get(name, 0.01), generator=stream)
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
def initialize(net: nn.Sequential, init: str, seed: int, bias_ones: Collection[str] | None = None) -> None:
    """Give ``net`` its initial weights, in place, on the CPU.

    ``bias_ones``: the layers whose biases are 1, and 0 in all others; None for the biases of ``init``.

    Each layer has its own random stream, a function of the seed and its name, so a slice of the net gets the weights that the
    whole net gets.
    """
    net.to_empty(device="cpu")
    for name, layer in net.named_children():
        if isinstance(layer, WEIGHTED):
            digest = hashlib.sha256(f"{seed} {name}.weight".encode()).digest()
            stream = torch.Generator().manual_seed(int.from_bytes(digest[:8]))
            # Each place of a locally connected layer is filled as a convolution.
            shared = not isinstance(layer, LocallyConnected2d)
            bias = cast(Tensor, layer.bias)
            places = [(layer.weight, bias)] if shared else zip(layer.weight.flatten(0, 1), bias.flatten(0, 1), strict=True)
            for weights, biases in places:
                INITS[init](name, weights, biases, stream)
            if bias_ones is not None:
                bias.fill_(name in bias_ones)
