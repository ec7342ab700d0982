"""A net by its name."""

from importlib import import_module

import torch

from alexnet.models.network import Network, Switches


def build(net: str, classes: int, switches: Switches) -> Network:
    """The net ``net`` of ``alexnet.config.nets`` on the meta device: ``initialize``, or a file, gives it its weights.

    Its layers are those of the module of that name in ``alexnet.models.nets``.
    """
    layers = import_module(f"alexnet.models.nets.{net.replace('-', '_')}").layers
    with torch.device("meta"):
        return Network(layers(classes, switches))
