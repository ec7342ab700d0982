"""A net: a flat sequence of named layers, and the switches by which it may vary."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from alexnet.models.layers import ACTIVATIONS, ALPHAS, INVERTED, POOLS, SCOPES, Dropout, LocalResponseNorm
from alexnet.models.local import LocallyConnected2d

Layers = list[tuple[str, nn.Module]]
WEIGHTED = nn.Conv2d | nn.Linear | LocallyConnected2d
"""The layers with weights and biases."""


class Network(nn.Sequential):
    """A flat, named sequence of layers; a slice of it is a network too, with the same names.

    ``forward`` takes images (N, 3, size, size), centred and scaled (or what the first layer of a slice takes), and, in
    training, ``rows``: an int64 tensor (N,) with a number for each row that no other row of the training has, by which
    dropout draws. It returns logits (N, classes), or what the last layer of a slice returns.
    """

    def __init__(self, layers: Iterable[tuple[str, nn.Module]] | OrderedDict[str, nn.Module]) -> None:
        super().__init__(OrderedDict(layers))

    def forward(self, input: Tensor, rows: Tensor | None = None) -> Tensor:
        for layer in self:
            input = layer(input, rows) if isinstance(layer, Dropout) else layer(input)
        return input

    @property
    def weighted(self) -> list[str]:
        """The names of the layers that have weights, in order."""
        return [name for name, layer in self.named_children() if isinstance(layer, WEIGHTED)]


def dry_run(net: Network, inputs: Tensor) -> Tensor:
    """The outputs of ``net`` in evaluation mode, on the meta device: shapes without numbers, at no cost."""
    weights = {name: parameter.to("meta") for name, parameter in net.named_parameters()}
    training = net.training
    outputs: Tensor = functional_call(net.eval(), weights, inputs)
    net.train(training)
    return outputs


@dataclass(frozen=True)
class Switches:
    """The layers that may vary; see params.yaml for the values. A net uses those that it has."""

    activation: str | None
    pool: str | None
    lrn: str | None
    lrn_scope: str | None
    towers: int | None
    dropout: str | None
    crop_size: int
    seed: int

    @classmethod
    def of(cls, settings: dict[str, Any]) -> "Switches":
        """From settings by name; others are ignored."""
        return cls(**{name: settings[name] for name in cls.__dataclass_fields__})

    @property
    def groups(self) -> int:
        """Groups of a convolution that stays within its tower."""
        return self.towers or 1

    def act(self, number: int) -> Layers:
        """The activation after layer ``number``."""
        assert self.activation is not None
        return [(f"{self.activation}{number}", ACTIVATIONS[self.activation]())]

    def norm(self, number: int, code: LocalResponseNorm | None = None) -> Layers:
        """Local response normalisation in layer ``number``; ``code``: that of the authors' file, if it is not the paper's net."""
        if self.lrn == "code" and code:
            return [(f"lrn{number}", code)]
        alpha = ALPHAS[self.lrn] if self.lrn else None
        own_tower = SCOPES[self.lrn_scope] if self.lrn_scope else True
        return [(f"lrn{number}", LocalResponseNorm(self.groups if own_tower else 1, alpha=alpha))] if alpha else []

    def pooling(self, number: int, kind: type[nn.MaxPool2d | nn.AvgPool2d] = nn.MaxPool2d, sticks_out: bool = False) -> Layers:
        """Pooling in layer ``number``; the last windows may stick out of the maps."""
        assert self.pool is not None
        return [(f"pool{number}", kind(*POOLS[self.pool], ceil_mode=sticks_out))]

    def drop(self, number: int) -> Layers:
        """Dropout of layer ``number``, which is 6 or 7."""
        inverted = INVERTED[self.dropout] if self.dropout else None
        key = 2 * self.seed + number - 6
        return [] if inverted is None else [(f"drop{number}", Dropout(0.5, key, inverted))]

    def output_size(self, layers: Layers) -> int:
        """How many values an image has after ``layers``."""
        # These keep the shape, and on the meta device they would load torch's compiler, which takes a second.
        keeping = (*ACTIVATIONS.values(), LocalResponseNorm)
        shaping = [(name, layer) for name, layer in layers if not isinstance(layer, keeping)]
        return dry_run(Network(shaping), torch.empty(1, 3, self.crop_size, self.crop_size, device="meta")).numel()
