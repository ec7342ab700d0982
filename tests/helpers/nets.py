"""Nets and settings for the tests, from the staged params.yaml and the recipes."""

from functools import cache
from typing import Any, Literal, get_args, get_origin

from helpers import staged

from alexnet.config.nets import NETS
from alexnet.config.training import Training
from alexnet.models.build import build
from alexnet.models.initialization import initialize
from alexnet.models.network import Network, Switches
from workflow import recipe

_shipped = cache(staged.params)


def settings_of(name: str | None, **changes: Any) -> dict[str, Any]:
    """params.yaml with the recipe of that name (None: as it is) and further changes on top."""
    return recipe.applied(_shipped(), (recipe.read(name) if name else {}) | changes)


def net_of(model: str = "alexnet", classes: int = 10, **changes: Any) -> Network:
    """A net as its recipe has it, its weights as torch's layers come."""
    net = meta_net(model, classes, **changes)
    initialize(net, "torch", seed=0)
    return net


def meta_net(model: str = "alexnet", classes: int = 10, **changes: Any) -> Network:
    """The same on the meta device: shapes alone."""
    return build(model, classes, Switches.of(settings_of(NETS[model].recipe, **changes)))


def legal(setting: str) -> list[Any]:
    """The values of a setting of the training that has a few; none for others."""
    return list(NETS) if setting == "model" else _values(Training.model_fields[setting].annotation)


def _values(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [value for part in get_args(annotation) for value in _values(part)]
