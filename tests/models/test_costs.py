"""What a net costs, against the geometry written out from the paper and the nets' sources."""

from typing import Any

import pytest
import torch
from helpers.nets import meta_net, net_of

from alexnet.models.costs import Cost, costs

PAPER = {
    "conv1": Cost(34_944, 105_415_200),
    "conv2": Cost(307_456, 223_948_800),
    "conv3": Cost(885_120, 149_520_384),
    "conv4": Cost(663_936, 112_140_288),
    "conv5": Cost(442_624, 74_760_192),
    "fc6": Cost(37_752_832, 37_748_736),
    "fc7": Cost(16_781_312, 16_777_216),
    "fc8": Cost(4_097_000, 4_096_000),
}
"""The paper's net, 227 crops, 1,000 classes."""

# Of a convolution: maps in and out, side of the kernel, of the maps that come out, groups. Of a full layer: units in and out.
Geometry = dict[str, tuple[int, ...]]


def large(first: int, groups: int, fc: int, classes: int) -> Geometry:
    """The paper's layers on first maps of ``first`` pixels, with ``fc`` pixels a side before fc6."""
    second = (first - 3) // 2 + 1
    third = (second - 3) // 2 + 1
    return {
        "conv1": (3, 96, 11, first, 1),
        "conv2": (96, 256, 5, second, groups),
        "conv3": (256, 384, 3, third, 1),
        "conv4": (384, 384, 3, third, groups),
        "conv5": (384, 256, 3, third, groups),
        "fc6": (256 * fc * fc, 4096),
        "fc7": (4096, 4096),
        "fc8": (4096, classes),
    }


def small(side: int, second: int, third: int, fc: int) -> Geometry:
    """alexnet-32 with ten classes: the sides of the maps in conv1, conv2, conv3 to conv5, and before fc6."""
    return {
        "conv1": (3, 48, 5, side, 1),
        "conv2": (48, 128, 5, second, 2),
        "conv3": (128, 192, 3, third, 1),
        "conv4": (192, 192, 3, third, 2),
        "conv5": (192, 128, 3, third, 2),
        "fc6": (128 * fc * fc, 1024),
        "fc7": (1024, 1024),
        "fc8": (1024, 10),
    }


ONE_WEIRD_TRICK: Geometry = {
    "conv1": (3, 64, 11, 55, 1),
    "conv2": (64, 192, 5, 27, 1),
    "conv3": (192, 384, 3, 13, 1),
    "conv4": (384, 256, 3, 13, 1),
    "conv5": (256, 256, 3, 13, 1),
    "fc6": (9216, 4096),
    "fc7": (4096, 4096),
    "fc8": (4096, 1000),
}
FOUR_LAYER: Geometry = {"conv1": (3, 32, 5, 32, 1), "conv2": (32, 32, 5, 16, 1), "conv3": (32, 64, 5, 8, 1), "fc4": (1024, 10)}


# Of a locally connected layer: maps in and out, side of the kernel, of the maps that come out.
CONV_LOCAL: Geometry = {
    "conv1": (3, 64, 5, 24, 1),
    "conv2": (64, 64, 5, 12, 1),
    "local3": (64, 32, 3, 6),
    "local4": (32, 32, 3, 6),
    "fc5": (1152, 10),
}


def cost(shape: tuple[int, ...]) -> Cost:
    if len(shape) == 4:
        maps_in, maps_out, kernel, side = shape
        products = maps_out * maps_in * kernel**2 * side**2
        return Cost(products + maps_out * side**2, products)
    if len(shape) == 2:
        inputs, outputs = shape
        return Cost(inputs * outputs + outputs, inputs * outputs)
    maps_in, maps_out, kernel, side, groups = shape
    weights = maps_out * maps_in // groups * kernel**2
    return Cost(weights + maps_out, weights * side**2)


@pytest.mark.parametrize("crop", [227, 224])
def test_the_papers_net_costs_what_the_papers_numbers_give(crop: int) -> None:
    found = costs(meta_net("alexnet", 1000, crop_size=crop), crop)
    assert found == PAPER == {name: cost(shape) for name, shape in large(55, groups=2, fc=6, classes=1000).items()}


@pytest.mark.parametrize(
    ("net", "classes", "crop", "changes", "geometry"),
    [
        ("alexnet", 1000, 227, {"towers": 1}, large(55, groups=1, fc=6, classes=1000)),
        ("alexnet-simplified", 10, 224, {}, large(54, groups=1, fc=5, classes=10)),
        ("alexnet-owt", 1000, 224, {}, ONE_WEIRD_TRICK),
        ("alexnet-32", 10, 32, {"crop_size": 32}, small(32, 15, 7, 3)),
        ("alexnet-32", 10, 28, {"crop_size": 28}, small(28, 13, 6, 2)),
        ("alexnet-32", 10, 32, {"crop_size": 32, "pool": "plain"}, small(32, 16, 8, 4)),
        ("cifar-four-layer", 10, 32, {}, FOUR_LAYER),
        ("cifar-conv-local", 10, 24, {}, CONV_LOCAL),
    ],
)
def test_every_net_costs_what_its_geometry_gives(
    net: str, classes: int, crop: int, changes: dict[str, Any], geometry: Geometry
) -> None:
    assert costs(meta_net(net, classes, **changes), crop) == {name: cost(shape) for name, shape in geometry.items()}


@pytest.mark.parametrize(("towers", "total"), [(2, (60_965_224, 724_406_816)), (1, (62_378_344, 1_135_256_096))])
def test_a_net_costs_what_its_layers_cost(towers: int, total: tuple[int, int]) -> None:
    layers = costs(meta_net("alexnet", 1000, towers=towers), 227).values()
    assert (sum(layer.parameters for layer in layers), sum(layer.macs for layer in layers)) == total


def test_counting_leaves_the_net_as_it_was() -> None:
    net = net_of("cifar-four-layer")
    before = {name: value.clone() for name, value in net.named_parameters()}
    costs(net.train(), 32)
    assert all(layer.training for layer in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.named_parameters())
