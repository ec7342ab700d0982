"""Every value of every setting trains, and each leads to other weights: none is read by nobody."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.nets import legal, net_of, settings_of
from helpers.training import alone
from safetensors.torch import save_model

from alexnet.config.training import Training
from alexnet.errors import UserError

BASE: dict[str, Any] = settings_of(
    "cifar10-32", crop_size=28, crop_padding=0, scale=255, init="paper", flip=True, batch_size=10, lr=0.001, precision="float32"
) | {
    "pipeline": {"ranks": 1, "replicas": 1, "cuts": ["conv3"], "schedule": "1F1B", "microbatches": 2},
    "epochs": 3,
    "lr_schedule": "milestones",
    "lr_milestones": [1],
    "lr_patience": 1,
    "lr_step": 1,
}
"""Three epochs of two steps, the rate dropping after the first; the validation error stays where it begins."""

CHOICES = (
    *("activation", "pool", "lrn", "lrn_scope", "towers", "dropout", "mean", "scale", "color_noise_scale"),
    *("init", "optimizer", "lr_schedule", "keep", "precision"),
)
VALUES: dict[str, list[Any]] = {
    "seed": [0, 1],
    "crop_size": [28, 32],
    "crop_padding": [0, 4],
    "flip": [True, False],
    "color_noise": [0.0, 0.1],
    "lr": [0.001, 0.002],
    "momentum": [0.9, 0.5],
    "weight_decay": [0.0005, 0.0],
    "bias_lr_mult": [1.0, 2.0],
    "bias_decay": [None, 0.0],
    "freeze": [[], ["conv1"], ["conv1", "conv2"]],
    "lr_mult": [None, {"fc8": 10}, {"fc8": 10, "conv1": 0.5}],
    "decay_mult": [None, {"fc8": 0}],
    "bias_ones": [None, ["conv2"], ["conv2", "fc6"]],
    "batch_size": [10, 4],
    "epochs": [3, 2],
    "early_stop": [None, 1],
    "lr_factor": [0.1, 0.5],
    "lr_milestones": [[1], [2], [1, 2]],
}
ELSEWHERE = {
    "model": "tests/pipeline/test_pipeline.py trains every net",
    "classes": "here, below",
    "init_from": "here, below",
    "lr_patience": "here, below",
    "lr_step": "here, below",
    "threads": "tests/stages/test_dvc_yaml.py sees it read; it changes last bits, or none",
    "pipeline": "here, below",
}


DONE: dict[str, tuple[tuple[str, str], ...]] = {}
"""Weights by settings: each setting is tried beside the same base."""


def weights(folder: Path, **changes: Any) -> tuple[tuple[str, str], ...]:
    settings = BASE | changes
    key = json.dumps(settings, sort_keys=True)
    if key not in DONE:
        DONE[key] = tuple(alone(settings, folder)[2].items())
    return DONE[key]


def test_every_setting_is_tried() -> None:
    assert sorted([*CHOICES, *VALUES, *ELSEWHERE]) == sorted(Training.model_fields)


@pytest.mark.parametrize("setting", [*CHOICES, *VALUES])
def test_each_value_leads_to_other_weights(tiny: Path, setting: str) -> None:
    values = VALUES[setting] if setting in VALUES else legal(setting)
    assert len(values) > 1
    found = {weights(tiny, **{setting: value}) for value in values}
    assert len(found) == len(values)


@pytest.mark.parametrize(("schedule", "setting", "values"), [("plateau", "lr_patience", [1, 2]), ("step", "lr_step", [1, 2])])
def test_the_keys_of_a_schedule_lead_to_other_weights(tiny: Path, schedule: str, setting: str, values: list[int]) -> None:
    found = {weights(tiny, lr_schedule=schedule, **{setting: value}) for value in values}
    assert len(found) == len(values)


def test_settings_of_speed_lead_to_the_same_weights(tiny: Path) -> None:
    plain = weights(tiny)
    for workers in (1, 3):
        assert weights(tiny, machine=BASE["machine"] | {"workers": workers}) == plain
    assert weights(tiny, pipeline=BASE["pipeline"] | {"cuts": ["fc6"], "schedule": "GPipe"}) == plain  # one process has no cuts


def test_microbatches_and_replicas_change_last_bits(tiny: Path) -> None:
    divided = [{}, {"microbatches": 1}, {"replicas": 5}, {"replicas": 5, "microbatches": 1}]
    found = {weights(tiny, pipeline=BASE["pipeline"] | changes) for changes in divided}
    assert len(found) == len(divided)


def test_classes_must_be_those_of_the_data(tiny: Path) -> None:
    assert weights(tiny, classes=10) == weights(tiny)
    with pytest.raises(UserError, match="classes: 9 is not valid: the data has 10"):
        weights(tiny, classes=9)


def test_flip_is_as_the_source_allows_unless_it_is_set(tiny: Path) -> None:
    assert weights(tiny, flip=None) == weights(tiny, flip=False) != weights(tiny, flip=True)  # a mirrored digit is no digit


def test_init_from_leads_to_other_weights(tiny: Path, tmp_path: Path) -> None:
    file = tmp_path / "start.safetensors"
    save_model(net_of("alexnet-32", crop_size=28, crop_padding=0), str(file))
    assert weights(tiny, init_from=str(file)) != weights(tiny)
