"""Initial weights: the distribution that each ``init`` names, layer by layer, whatever the slice."""

import math

import numpy as np
import pytest
import torch
from helpers.nets import meta_net
from numpy.typing import NDArray
from scipy import stats

from alexnet.models.initialization import INITS, initialize
from alexnet.models.network import Network

ONES = {"conv2", "conv4", "conv5", "fc6", "fc7"}
# Of alexnet-32 with two towers: values that an output is summed over, and outputs times the kernel's places.
INPUTS = {"conv1": 75, "conv2": 600, "conv3": 1152, "conv4": 864, "conv5": 864, "fc6": 1152, "fc7": 1024, "fc8": 1024}
OUTPUTS = {"conv1": 1200, "conv2": 3200, "conv3": 1728, "conv4": 1728, "conv5": 1152, "fc6": 1024, "fc7": 1024, "fc8": 10}


def net_with(init: str, seed: int = 5) -> Network:
    net = meta_net("alexnet-32", crop_size=32, towers=2)
    initialize(net, init, seed)
    return net


@pytest.fixture(scope="module", params=INITS)
def named(request: pytest.FixtureRequest) -> tuple[str, Network]:
    """A setting of ``init``, and a net that it filled."""
    return request.param, net_with(request.param)


def normal(values: NDArray[np.float64], deviation: float) -> None:
    """``values`` have the moments of N(0, deviation²) within five standard errors, and its distribution."""
    assert abs(values.mean()) < 5 * deviation / math.sqrt(values.size)
    assert abs(values.std() / deviation - 1) < 5 / math.sqrt(2 * values.size)
    assert stats.kstest(values[:20_000], stats.norm(0, deviation).cdf).pvalue > 1e-3


def uniform(values: NDArray[np.float64], bound: float) -> None:
    """``values`` have the moments of the uniform distribution within ±bound, and that distribution."""
    assert np.abs(values).max() <= bound * (1 + 1e-6)
    assert abs(values.mean()) < 5 * bound / math.sqrt(3 * values.size)
    # The variance of x² / bound² is 4/45, so the standard error of the deviation is that of √(4/5) / 2 parts.
    assert abs(values.std() * math.sqrt(3) / bound - 1) < 5 * math.sqrt(1 / (5 * values.size))
    assert stats.kstest(values[:20_000], stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-3


def test_weights_have_the_distribution_of_their_init(named: tuple[str, Network]) -> None:
    init, net = named
    for layer in net.weighted:
        values = net.get_parameter(f"{layer}.weight").detach().double().numpy().ravel()
        match init:
            case "paper":
                normal(values, 0.01)
            case "code":
                normal(values, 0.03 if layer in ("conv3", "conv4", "conv5") else 0.01)
            case "kaiming":
                normal(values, math.sqrt(2 / INPUTS[layer]))
            case "xavier":
                uniform(values, math.sqrt(6 / (INPUTS[layer] + OUTPUTS[layer])))
            case "torch":
                uniform(values, 1 / math.sqrt(INPUTS[layer]))
            case "cifar-code":
                normal(values, 0.0001 if layer == "conv1" else 0.01)
            case _:
                pytest.fail(f"nothing is known of init: {init}")


def test_biases_are_those_of_their_init(named: tuple[str, Network]) -> None:
    init, net = named
    for layer in net.weighted:
        values = net.get_parameter(f"{layer}.bias").detach().double().numpy()
        if init == "torch":
            bound = 1 / math.sqrt(INPUTS[layer])
            assert np.abs(values).max() <= bound
            assert stats.kstest(values, stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-3
        else:
            assert set(values) == {float(init in ("paper", "code") and layer in ONES)}, layer


def test_locally_connected_layers_are_drawn_place_by_place() -> None:
    """Each place as a convolution: of the fan of one place, and no two alike."""
    for init, deviation in (("cifar-code", 0.04), ("kaiming", math.sqrt(2 / 576)), ("torch", 1 / math.sqrt(3 * 576))):
        net = meta_net("cifar-conv-local")
        initialize(net, init, seed=5)
        weight = net.get_parameter("local3.weight").detach()
        assert weight.std().item() == pytest.approx(deviation, rel=0.01)
        assert not torch.equal(weight[0, 0], weight[0, 1])
    initialize(net, "cifar-code", seed=5)
    deviations = {name: net.get_parameter(f"{name}.weight").std().item() for name in net.weighted}
    expected = {"conv1": 0.0001, "conv2": 0.01, "local3": 0.04, "local4": 0.04, "fc5": 0.01}
    assert deviations == pytest.approx(expected, rel=0.05)
    assert not any(net.get_parameter(f"{name}.bias").any() for name in net.weighted)


def test_biases_are_one_in_the_layers_that_are_named_and_zero_elsewhere() -> None:
    net = meta_net("alexnet-32")
    initialize(net, "paper", seed=5, bias_ones=["conv1", "fc7"])
    assert {name: set(net.get_parameter(f"{name}.bias").tolist()) for name in net.weighted} == {
        name: {float(name in ("conv1", "fc7"))} for name in net.weighted
    }


def test_a_slice_gets_the_weights_of_the_whole_net() -> None:
    whole, half = net_with("paper"), meta_net("alexnet-32", crop_size=32, towers=2)[8:]
    initialize(half, "paper", seed=5)
    assert half.weighted == ["conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
    assert all(torch.equal(value, whole.get_parameter(name)) for name, value in half.named_parameters())


def test_another_seed_and_another_layer_draw_other_weights() -> None:
    one, two = net_with("paper"), net_with("paper", seed=6)
    first = [tuple(net.get_parameter(f"{layer}.weight").flatten()[:4].tolist()) for net in (one, two) for layer in net.weighted]
    assert len(set(first)) == len(first)
    assert all(torch.equal(value, one.get_parameter(name)) for name, value in net_with("paper").named_parameters())
