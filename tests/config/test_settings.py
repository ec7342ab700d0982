"""Wrong settings are rejected with the name, the value and what is legal; right ones pass."""

from collections.abc import Callable
from typing import Any

import pytest
from helpers.nets import settings_of

from alexnet.config.check import check
from alexnet.config.section import flat
from alexnet.errors import UserError
from workflow.recipe import known

Params = dict[str, Any]


def changed(params: Params, **changes: Any) -> Params:
    """``params`` with dotted keys, the dots written as double underscores, set anew."""
    for key, value in changes.items():
        *path, last = key.split("__")
        section = params
        for name in path:
            section = section[name]
        section[last] = value
    return params


@pytest.fixture
def params(shipped: Callable[[], Params]) -> Params:
    """The shipped settings, those set that the messages below name."""
    return changed(shipped(), batch_size=128, lr_schedule="plateau", lr_patience=5, pipeline__microbatches=4)


def test_the_shipped_settings_are_legal(shipped: Callable[[], Params]) -> None:
    assert check(shipped()).lr > 0


EIGHT = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lr_shedule": "plateau"}, "unknown setting lr_shedule; did you mean lr_schedule?"),
        ({"pipeline__cut": []}, "unknown setting pipeline.cut; did you mean pipeline.cuts?"),
        ({"lr": -1}, "lr: -1 is not valid"),
        ({"lr": "1e-5"}, "lr: 1e-5 is not valid"),
        ({"lr": float("inf")}, "lr: inf is not valid"),
        ({"momentum": 1.0}, "momentum: 1.0 is not valid"),
        ({"epochs": 2.5}, "epochs: 2.5 is not valid"),
        ({"epochs": True}, "epochs: True is not valid"),
        ({"crop_size": 225}, "crop_size: 225 is not valid: alexnet takes 227 or 224"),
        ({"model": "alexnet-64"}, "model: alexnet-64 is not valid: it should be 'alexnet', "),
        ({"scale": 1}, "scale: 1 is not valid: it should be 255 or 'unit'"),
        ({"scale": True}, "scale: True is not valid: it should be 255 or 'unit'"),
        ({"scale": None}, "scale: None is not valid: it should be 255 or 'unit'"),
        ({"lrn": False}, "lrn: False is not valid: it should be 'paper', 'code' or 'off'"),
        ({"optimizer": None}, "optimizer: None is not valid: it should be 'sgd', 'torch_sgd', 'adam' or 'adamw'"),
        ({"early_stop": 5}, "early_stop: 5 is not valid: plateau waits lr_patience: 5 epochs before its first drop"),
        ({"flip": "no"}, "flip: no is not valid: it should be true or false"),
        ({"lrn": None}, "lrn: null is not valid: alexnet has that switch; set it"),
        (
            {"model": "alexnet-owt"},
            "pool: overlapping is not valid: alexnet-owt has no such switch; set it to null; "
            "`make exp RECIPE=torchvision` sets everything it needs",
        ),
        (
            {"model": "alexnet-32"},
            "crop_size: 227 is not valid: alexnet-32 takes 28 or 32; `make exp RECIPE=cifar10-32` sets everything it needs",
        ),
        ({"precision": "float16"}, "precision: float16 is not valid: it should be 'float32' or 'bfloat16'"),
        ({"data": 3}, "data: 3 is not valid"),
        ({"data__source": "folder"}, "data.source: folder needs data.root"),
        ({"data__source": "torchvision"}, "data.source: torchvision needs data.name, the data set, such as Flowers102"),
        (
            {"data__name": "Flowers102"},
            "data.name: Flowers102 is not valid with data.source: digits; set it to null, or set data.source: torchvision",
        ),
        ({"data__val_fraction": 1}, "data.val_fraction: 1 is not valid"),
        ({"preprocess__size": 200}, "crop_size: 227 is larger than preprocess.size: 200"),
        ({"pipeline__microbatches": 3}, "pipeline.microbatches: 3 does not divide batch_size: 128"),
        (
            {"pipeline__replicas": 3},
            "pipeline.replicas: 3 times pipeline.microbatches: 4 does not divide batch_size: 128; choose",
        ),
        ({"pipeline__replicas": 0}, "pipeline.replicas: 0 is not valid: it should be greater than or equal to 1"),
        ({"pipeline__cuts": ["conv2"]}, "pipeline.cuts: ['conv2'] is not valid; choose from conv3, fc6, fc7, fc8"),
        ({"pipeline__cuts": ["fc6", "conv3"]}, "in this order"),
        ({"pipeline__cuts": ["conv3", "fc6"]}, "makes 3 stages, not a multiple of pipeline.ranks: 2; choose 1 or 3 cuts"),
        ({"pipeline__ranks": 6}, "pipeline.ranks: 6 is not valid: alexnet has at most 5 stages"),
        ({"seed": 2**63}, "seed: 9223372036854775808 is not valid"),
        ({"freeze": ["conv6"], "init_from": "m"}, "freeze: alexnet has no layer conv6 with weights; did you mean conv5?"),
        ({"freeze": ["conv1"]}, "freeze: ['conv1'] is not valid without init_from: set that, or freeze: []"),
        ({"freeze": [*EIGHT], "init_from": "m"}, "freeze: all layers are named, so nothing would learn"),
        ({"lr_mult": {"fc9": 10}}, "lr_mult: alexnet has no layer fc9 with weights; did you mean fc8?"),
        ({"lr_mult": {"fc8": 0}}, "lr_mult.fc8: 0 is not valid: it should be greater than 0"),
        ({"lr_mult": 10}, "lr_mult: 10 is not valid: it should be a valid dictionary"),
        ({"decay_mult": {"pool1": 0}}, "decay_mult: alexnet has no layer pool1 with weights; did you mean"),
        ({"decay_mult": {"conv1": -1}}, "decay_mult.conv1: -1 is not valid"),
        ({"color_noise": float("inf")}, "color_noise: inf is not valid"),
        (
            {"pipeline__cuts": ["conv3", "fc6", "fc7"], "pipeline__schedule": "1F1B"},
            "pipeline.schedule: 1F1B cannot run 4 stages on 2 ranks; choose Interleaved1F1B or InterleavedZeroBubble",
        ),
        (
            {"pipeline__schedule": "LoopedBFS"},
            "LoopedBFS is not valid: it should be 'InterleavedZeroBubble', 'Interleaved1F1B', '1F1B' or 'GPipe'",
        ),
        (
            {"pipeline__microbatches": 1, "pipeline__schedule": "1F1B"},
            "pipeline.microbatches: 1 is not valid: 1F1B needs at least as many as stages, 2",
        ),
        (
            {"pipeline__microbatches": 1},
            "pipeline.microbatches: 1 is not a multiple of pipeline.ranks: 2, which InterleavedZeroBubble needs",
        ),
    ],
)
def test_a_wrong_setting_is_rejected_in_words(params: Params, changes: Params, words: str) -> None:
    with pytest.raises(UserError) as rejection:
        check(changed(params, **changes))
    assert words in str(rejection.value)
    assert "\n" not in str(rejection.value)


def test_a_missing_setting_is_named(params: Params) -> None:
    del params["pipeline"]["cuts"]
    with pytest.raises(UserError, match=r"pipeline\.cuts is missing; add it"):
        check(params)


def test_each_wrong_setting_has_a_line(params: Params) -> None:
    with pytest.raises(UserError) as rejection:
        check(changed(params, lr=-1, epochs=0))
    assert len(str(rejection.value).splitlines()) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"pipeline__ranks": 1},
        {"pipeline__replicas": 4},
        {"batch_size": 96, "pipeline__microbatches": 3, "pipeline__schedule": "1F1B"},
        {"pipeline__microbatches": 1, "pipeline__schedule": "GPipe"},
        {"pipeline__ranks": 1, "pipeline__cuts": ["conv3", "fc6"]},
        {"pipeline__cuts": ["fc6"], "pipeline__schedule": "GPipe"},
        {"pipeline__cuts": ["conv3", "fc6", "fc7"], "pipeline__schedule": "Interleaved1F1B"},
        {"pipeline__schedule": "Interleaved1F1B"},
        {"pipeline__schedule": "1F1B"},
        {"pipeline__ranks": 4, "pipeline__cuts": ["conv3", "fc6", "fc7"]},
        {"init_from": "m", "freeze": ["conv1"], "lr_mult": {"fc8": 10, "fc7": 0.5}, "decay_mult": {"conv1": 0}},
        {"lr": 1, "weight_decay": 0, "data__root": "images", "data__source": "folder"},
    ],
)
def test_legal_settings_pass(params: Params, changes: Params) -> None:
    check(changed(params, **changes))


@pytest.mark.parametrize(
    ("old", "value", "new"),
    [
        ("pca__workers", None, "machine.workers"),
        ("preprocess__workers", 2, "machine.workers"),
        ("loader", {"workers": None}, "machine.workers"),
        ("checkpoint", {"minutes": 5}, "machine.checkpoint_minutes"),
    ],
)
def test_a_setting_that_has_moved_is_answered_with_its_new_place(params: Params, old: str, value: Any, new: str) -> None:
    with pytest.raises(UserError) as rejection:
        check(changed(params, **{old: value}))
    assert str(rejection.value) == f"params.yaml: {old.replace('__', '.')} has moved; set {new} instead"


@pytest.mark.parametrize("recipe", [None, *known()])
def test_the_check_changes_no_value(recipe: str | None) -> None:
    """So code that can only reject settings, ``alexnet.config``, need not be among the deps of a stage in dvc.yaml."""
    settings = settings_of(recipe)
    assert check(settings).model_dump(mode="json") == settings


def test_nested_settings_have_dotted_names() -> None:
    nested = {"lr": 0.01, "data": {"root": None, "deep": {"er": [1, 2]}}, "pipeline": {}}
    assert flat(nested) == {"lr": 0.01, "data.root": None, "data.deep.er": [1, 2]}
