"""Nets and settings for the tests, from params.yaml and the recipes."""

from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from alexnet.model.initialization import initialize
from alexnet.model.nets import build
from alexnet.model.network import Network, Switches
from alexnet.settings.nets import NETS
from stages import recipe

ROOT = Path(__file__).parent.parent


@cache
def _shipped() -> dict[str, Any]:
    params: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    return params


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
