"""Every net, source and value that params.yaml may name is implemented, and nothing is implemented that it may not name."""

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from helpers.nets import legal, meta_net
from helpers.staged import ROOT

from alexnet.config.nets import NETS, SWITCHES
from alexnet.config.sources import SOURCES
from alexnet.input.colors import MEANS, NOISE_SCALES, SCALES
from alexnet.models.initialization import INITS
from alexnet.models.layers import ACTIVATIONS, ALPHAS, INVERTED, POOLS, SCOPES
from alexnet.models.numerics import PRECISIONS
from alexnet.train.optimizers import OPTIMIZERS
from alexnet.train.schedules import SCHEDULES
from workflow.recipe import known

TABLES: dict[str, Iterable[Any]] = {
    "activation": ACTIVATIONS,
    "pool": POOLS,
    "lrn": ALPHAS,
    "lrn_scope": SCOPES,
    "dropout": INVERTED,
    "mean": MEANS,
    "scale": SCALES,
    "color_noise_scale": NOISE_SCALES,
    "init": INITS,
    "optimizer": OPTIMIZERS,
    "lr_schedule": SCHEDULES,
    "precision": PRECISIONS,
}
"""Settings with the tables of the code that implements their values."""


def modules(package: str) -> set[str]:
    return {path.stem for path in (ROOT / Path(*package.split("."))).glob("*.py")} - {"__init__"}


def test_every_net_has_its_module_and_every_module_its_net() -> None:
    assert modules("alexnet.models.nets") == {name.replace("-", "_") for name in NETS}
    for name in modules("alexnet.models.nets"):
        assert callable(import_module(f"alexnet.models.nets.{name}").layers)


def test_every_source_has_its_module_that_finds_images_and_every_such_module_its_source() -> None:
    finding = {name for name in modules("alexnet.sources") if hasattr(import_module(f"alexnet.sources.{name}"), "find")}
    assert finding == SOURCES.keys()


@pytest.mark.parametrize("name", NETS)
def test_a_net_is_what_its_row_says(name: str) -> None:
    spec = NETS[name]
    assert sum(weight.numel() for weight in meta_net(name, spec.classes).parameters()) == spec.parameters
    assert meta_net(name, spec.classes).weighted == list(spec.layers)
    assert set(spec.switches) <= set(SWITCHES)
    assert spec.recipe is None or spec.recipe in known()


def test_every_legal_value_is_implemented_and_every_implemented_value_is_legal() -> None:
    assert {setting: set(table) for setting, table in TABLES.items()} == {setting: set(legal(setting)) for setting in TABLES}
