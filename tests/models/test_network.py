"""The nets: their sizes, the order of their layers, what each switch changes, and where they may be cut."""

from typing import Any

import pytest
import torch
from helpers.nets import meta_net, net_of, settings_of
from torch import Tensor, nn
from torchvision.models import alexnet as torchvisions  # type: ignore[import-untyped]

from alexnet.config.nets import NETS
from alexnet.models.build import build
from alexnet.models.layers import LocalResponseNorm
from alexnet.models.network import Network, Switches, dry_run
from alexnet.models.saved import TORCHVISION
from alexnet.pipeline.pipeline import split


def layers(net: nn.Module) -> dict[str, str]:
    """Names and settings of the layers, in order."""
    return {name: repr(layer) for name, layer in net.named_children()}


@pytest.mark.parametrize(
    ("model", "classes", "changes", "parameters"),
    [
        ("alexnet", 1000, {}, 60_965_224),
        ("alexnet", 1000, {"towers": 1}, 62_378_344),
        ("alexnet-simplified", 10, {}, 46_787_978),
        ("alexnet-owt", 1000, {}, 61_100_840),
        ("alexnet-32", 10, {"crop_size": 32}, 2_819_274),
        ("alexnet-grouped", 1000, {}, 60_965_224 - 384 * 128 * 9),
        ("cifar-four-layer", 10, {}, 89_578),
        # conv1, conv2, and at each of 6 x 6 places local3 and local4, fc5.
        ("cifar-conv-local", 10, {}, 4_864 + 102_464 + 36 * (32 * 577 + 32 * 289) + 10 * 1_153),
    ],
)
def test_a_net_has_the_parameters_it_is_known_for(model: str, classes: int, changes: dict[str, Any], parameters: int) -> None:
    assert sum(parameter.numel() for parameter in meta_net(model, classes, **changes).parameters()) == parameters


@pytest.mark.parametrize("model", NETS)
def test_the_registry_knows_how_many_parameters_a_net_has(model: str) -> None:
    net = meta_net(model, NETS[model].classes)
    assert sum(parameter.numel() for parameter in net.parameters()) == NETS[model].parameters


def test_the_layers_come_in_the_papers_order() -> None:
    assert list(layers(meta_net())) == [
        *("conv1", "relu1", "lrn1", "pool1"),
        *("conv2", "relu2", "lrn2", "pool2"),
        *("conv3", "relu3", "conv4", "relu4"),
        *("conv5", "relu5", "pool5", "flatten"),
        *("fc6", "relu6", "drop6", "fc7", "relu7", "drop7", "fc8"),
    ]


@pytest.mark.parametrize("pool", ["overlapping", "plain"])
@pytest.mark.parametrize(("model", "crop"), [(model, crop) for model, facts in NETS.items() for crop in facts.crops])
def test_both_poolings_and_every_crop_give_a_net(model: str, crop: int, pool: str) -> None:
    changes: dict[str, Any] = {"pool": pool} if "pool" in NETS[model].switches else {}
    net = meta_net(model, 7, crop_size=crop, **changes)
    assert dry_run(net, torch.empty(2, 3, crop, crop, device="meta")).shape == (2, 7)


@pytest.mark.parametrize("pool", ["overlapping", "plain"])
@pytest.mark.parametrize("crop", [227, 224])
def test_the_papers_maps_have_55_27_13_and_6_pixels_a_side(crop: int, pool: str) -> None:
    maps, sides = torch.empty(1, 3, crop, crop, device="meta"), {}
    for name, layer in meta_net(crop_size=crop, pool=pool).named_children():
        maps = dry_run(Network([(name, layer)]), maps)
        sides[name] = tuple(maps.shape[1:])
    assert [sides[name] for name in ("conv1", "pool1", "conv2", "pool2")] == [
        *((96, 55, 55), (96, 27, 27), (256, 27, 27), (256, 13, 13))
    ]
    assert [sides[name] for name in ("conv3", "conv4", "conv5", "pool5", "fc6")] == [
        *((384, 13, 13), (384, 13, 13), (256, 13, 13), (256, 6, 6), (4096,))
    ]


def test_a_224_crop_is_padded_on_the_right_and_bottom() -> None:
    pad = meta_net(crop_size=224).get_submodule("pad")
    padded = pad(torch.ones(1, 3, 224, 224))
    assert padded.shape == (1, 3, 227, 227)
    assert padded[..., :224, :224].all() and not padded[..., 224:, :].any() and not padded[..., 224:].any()


RELUS = {f"relu{number}" for number in range(1, 8)}
POOLS, NORMS, DROPS = {"pool1", "pool2", "pool5"}, {"lrn1", "lrn2"}, {"drop6", "drop7"}
WITHIN_TOWERS = {"conv2", "conv4", "conv5", *NORMS}


@pytest.mark.parametrize(
    ("changes", "gone", "come"),
    [
        ({"activation": "tanh"}, RELUS, {f"tanh{number}" for number in range(1, 8)}),
        ({"activation": "sigmoid"}, RELUS, {f"sigmoid{number}" for number in range(1, 8)}),
        ({"pool": "plain"}, POOLS, POOLS),
        ({"lrn": "code"}, NORMS, NORMS),
        ({"lrn": "off"}, NORMS, set()),
        ({"lrn_scope": "all"}, NORMS, NORMS),
        ({"towers": 1}, WITHIN_TOWERS, WITHIN_TOWERS),
        ({"towers": 1, "lrn_scope": "all"}, WITHIN_TOWERS, WITHIN_TOWERS),
        ({"dropout": "inverted"}, DROPS, DROPS),
        ({"dropout": "off"}, DROPS, set()),
        ({"crop_size": 224}, set(), {"pad"}),
    ],
    ids=lambda value: " ".join(f"{name}={setting}" for name, setting in value.items()) if isinstance(value, dict) else "",
)
def test_a_switch_changes_its_layers_and_no_other(changes: dict[str, Any], gone: set[str], come: set[str]) -> None:
    before, after = layers(meta_net()).items(), layers(meta_net(**changes)).items()
    assert {name for name, _ in before - after} == gone
    assert {name for name, _ in after - before} == come


@pytest.mark.parametrize("crop", [227, 224])
def test_the_recipe_of_one_tower_is_the_papers_net_with_towers_1(crop: int) -> None:
    settings = settings_of("alexnet-one-tower", crop_size=crop)
    one_tower = build(settings["model"], 10, Switches.of(settings))
    assert layers(one_tower) == layers(meta_net(towers=1, crop_size=crop))
    assert {layer.groups for layer in one_tower.children() if isinstance(layer, nn.Conv2d)} == {1}


def reaches_the_other_tower(layer: Network, inputs: Tensor) -> bool:
    """Whether the first half of what ``layer`` gives depends on the second half of what it takes."""
    other = inputs.clone()
    other[:, inputs.shape[1] // 2 :] += 1
    ours, theirs = (layer(maps).detach().chunk(2, dim=1)[0] for maps in (inputs, other))
    return not torch.equal(ours, theirs)


@pytest.mark.parametrize(("model", "crop"), [("alexnet", 227), ("alexnet-32", 32)])
@pytest.mark.parametrize("scope", ["tower", "all"])
def test_towers_meet_in_conv3_and_the_full_layers_alone(model: str, crop: int, scope: str) -> None:
    net = net_of(model, crop_size=crop, lrn="paper", lrn_scope=scope, towers=2, dropout="classic").eval()
    maps, meeting = torch.rand(2, 3, crop, crop, generator=torch.Generator().manual_seed(0)), set()
    for name, child in net.named_children():
        layer = Network([(name, child)])
        if name != "conv1" and reaches_the_other_tower(layer, maps):
            meeting.add(name)
        maps = layer(maps)
    assert meeting == {"conv3", "fc6", "fc7", "fc8"} | ({"lrn1", "lrn2"} if scope == "all" else set())
    assert NETS[model].cuts == ("conv3", "fc6", "fc7", "fc8")


def test_every_norm_has_the_papers_constants() -> None:
    found = [layer for layer in meta_net().children() if isinstance(layer, LocalResponseNorm)]
    assert [(layer.k, layer.size, layer.alpha, layer.towers) for layer in found] == 2 * [(2.0, 5, 1e-4, 2)]


def test_conv3_in_groups_is_all_that_the_grouped_net_changes() -> None:
    before, after = layers(meta_net(crop_size=224, dropout="inverted")), layers(meta_net("alexnet-grouped"))
    assert list(before) == list(after)
    assert {name for name in before if before[name] != after[name]} == {"conv3"}
    assert meta_net("alexnet-grouped", crop_size=227).get_parameter("conv3.weight").shape == (384, 128, 3, 3)


def test_the_norms_of_the_locally_connected_net_are_the_authors() -> None:
    found = [layer for layer in meta_net("cifar-conv-local", lrn="code").children() if isinstance(layer, LocalResponseNorm)]
    assert [(layer.k, layer.size, layer.alpha, layer.towers) for layer in found] == 2 * [(1.0, 5, 0.001 / 5, 1)]
    names = list(layers(meta_net("cifar-conv-local", lrn="code")))
    assert names[:8] == ["conv1", "relu1", "lrn1", "pool1", "conv2", "relu2", "lrn2", "pool2"]


def test_torchvisions_net_is_torchvisions() -> None:
    """The same maps from the same weights, and the same layers behind them."""
    ours = meta_net("alexnet-owt", 1000, activation="relu", dropout="inverted")
    with torch.device("meta"):
        theirs = torchvisions().eval()
    names = list(layers(ours))
    behind = [type(layer).__name__ for layer in list(ours.children())[names.index("flatten") + 1 :]]
    assert behind == [type(layer).__name__ for layer in theirs.classifier]
    head = ours[: names.index("flatten")].to_empty(device="cpu")
    stream = torch.Generator().manual_seed(0)
    for parameter in head.parameters():
        nn.init.normal_(parameter, 0, 0.05, generator=stream)
    theirs.features.to_empty(device="cpu")
    for theirs_name, name in TORCHVISION.items():
        assert theirs.get_submodule(theirs_name).weight.shape == ours.get_submodule(name).weight.shape
        if theirs_name.startswith("features"):
            theirs.get_submodule(theirs_name).load_state_dict(ours.get_submodule(name).state_dict())
    images = torch.rand(1, 3, 224, 224, generator=stream)
    torch.testing.assert_close(head(images), theirs.avgpool(theirs.features(images)))


@pytest.mark.parametrize("model", NETS)
def test_a_net_may_be_cut_before_each_of_its_cuts(model: str) -> None:
    """Every legal cut is a layer, begins a stage, and the stages together are the net."""
    net = meta_net(model)
    stages = split(net, NETS[model].cuts)
    assert [name for stage in stages for name, _ in stage.named_children()] == list(layers(net))
    begins = [next(name for name, _ in stage.named_children() if name != "flatten") for stage in stages[1:]]
    assert begins == list(NETS[model].cuts)
