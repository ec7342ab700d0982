"""The large nets at all their cuts and in ONNX; ``make test`` has the smaller ones, and two of these cuts."""

from pathlib import Path
from typing import Any

import pytest
from helpers.exported import Patch, assert_onnx_answers_as_torch
from helpers.pipelines import assert_same_when_cut

from alexnet.config.nets import NETS

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]

LARGE = [model for model, net in NETS.items() if net.crops[0] > 32]


@pytest.mark.parametrize(("model", "cut"), [(model, cut) for model in LARGE for cut in NETS[model].cuts])
def test_two_ranks_give_the_weights_of_one(pair: Any, few: Path, model: str, cut: str) -> None:
    assert_same_when_cut(pair, few, model, cut, precision="float32", batch_size=6)


@pytest.mark.parametrize("model", LARGE)
def test_onnxruntime_names_photographs_as_torch_does(model: str, tmp_path: Path, patch: Patch) -> None:
    assert_onnx_answers_as_torch(model, tmp_path / "net.onnx", patch)
