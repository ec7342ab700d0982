"""The layers against the paper's formulas in NumPy float64."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.nets import meta_net
from numpy.typing import NDArray
from torch import nn

from alexnet.models.layers import Dropout, LocalResponseNorm, _normalize, _normalize_backward, mix

Maps = NDArray[np.float64]

NORMS = [("paper", 1e-4, "tower"), ("paper", 1e-4, "all"), ("code", 2e-5, "tower"), ("code", 2e-5, "all")]
"""``lrn``, the alpha that it means, ``lrn_scope``."""


def random_maps(*shape: int, scale: float = 60) -> Maps:
    return np.random.default_rng(0).normal(0, scale, shape)


def layer(name: str, model: str = "alexnet-32", **changes: Any) -> nn.Module:
    """A layer without weights, as the settings make it."""
    found: nn.Module = meta_net(model, **changes).get_submodule(name)
    return found


def value_and_gradient(layer: nn.Module, maps: Maps, gradient: Maps) -> tuple[Maps, Maps]:
    inputs = torch.from_numpy(maps).requires_grad_()
    outputs = layer(inputs)
    outputs.backward(torch.from_numpy(gradient))
    assert inputs.grad is not None
    return outputs.detach().numpy(), inputs.grad.numpy()


def neighbours(channel: int, channels: int, towers: int) -> range:
    """The maps that section 3.3 sums over: two on each side, as far as the tower goes."""
    first = channel // (channels // towers) * (channels // towers)
    return range(max(first, channel - 2), min(first + channels // towers - 1, channel + 2) + 1)


def normalized(maps: Maps, towers: int, alpha: float, k: float = 2, beta: float = 0.75) -> tuple[Maps, Maps]:
    """b_i = a_i / (k + alpha sum_j a_j^2)^beta, map by map, and its Jacobian db_i / da_j, (N, i, j, H, W).

    With s_i for the bracket, db_i / da_j is s_i^-beta where i = j, less 2 alpha beta a_i a_j s_i^-(beta + 1) where j is in
    the sum of i.
    """
    channels = maps.shape[1]
    values = np.empty_like(maps)
    jacobian = np.zeros((maps.shape[0], channels, *maps.shape[1:]))
    for i in range(channels):
        s = k + alpha * sum(maps[:, j] ** 2 for j in neighbours(i, channels, towers))
        values[:, i] = maps[:, i] / s**beta
        jacobian[:, i, i] = s**-beta
        for j in neighbours(i, channels, towers):
            jacobian[:, i, j] -= 2 * alpha * beta * maps[:, i] * maps[:, j] * s ** -(beta + 1)
    return values, jacobian


@pytest.mark.parametrize(("lrn", "alpha", "scope"), NORMS)
def test_lrn_is_the_papers_formula_over_a_towers_maps(lrn: str, alpha: float, scope: str) -> None:
    maps = random_maps(2, 12, 3, 4)
    ours, _ = value_and_gradient(layer("lrn1", lrn=lrn, lrn_scope=scope), maps, np.ones_like(maps))
    expected, _ = normalized(maps, 2 if scope == "tower" else 1, alpha)
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


@pytest.mark.parametrize(("lrn", "alpha", "scope"), NORMS)
def test_lrn_has_the_gradient_of_its_formula(lrn: str, alpha: float, scope: str) -> None:
    maps, gradient = random_maps(2, 12, 3, 4), np.random.default_rng(1).normal(size=(2, 12, 3, 4))
    _, ours = value_and_gradient(layer("lrn1", lrn=lrn, lrn_scope=scope), maps, gradient)
    _, jacobian = normalized(maps, 2 if scope == "tower" else 1, alpha)
    np.testing.assert_allclose(ours, np.einsum("nihw,nijhw->njhw", gradient, jacobian), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("towers", [1, 2])
def test_lrn_passes_gradcheck(towers: int) -> None:
    maps = torch.from_numpy(random_maps(2, 12, 2, 3)).requires_grad_()
    assert torch.autograd.gradcheck(LocalResponseNorm(towers), (maps,), eps=1e-4)


@pytest.mark.parametrize(("lrn", "torchs"), [("paper", 5e-4), ("code", 1e-4)])
def test_torchs_own_layer_needs_five_times_the_alpha(lrn: str, torchs: float) -> None:
    maps = torch.from_numpy(random_maps(2, 12, 3, 4))
    ours = layer("lrn1", lrn=lrn, lrn_scope="all")(maps)
    torch.testing.assert_close(ours, F.local_response_norm(maps, size=5, alpha=torchs, beta=0.75, k=2), rtol=1e-12, atol=0)


def test_the_scope_of_lrn_matters_in_the_four_maps_where_towers_meet() -> None:
    maps = torch.from_numpy(random_maps(1, 96, 3, 3))
    tower, everything = (layer("lrn1", "alexnet", lrn_scope=scope)(maps) for scope in ("tower", "all"))
    assert (tower != everything).any(dim=(0, 2, 3)).nonzero()[:, 0].tolist() == [46, 47, 48, 49]


def test_lrn_takes_maps_in_any_memory_order() -> None:
    maps = torch.from_numpy(random_maps(2, 12, 5, 5)).float()
    torch.testing.assert_close(LocalResponseNorm(2)(maps), LocalResponseNorm(2)(maps.to(memory_format=torch.channels_last)))


def pooled(maps: Maps, gradient: Maps, window: int, stride: int, average: bool = False) -> tuple[Maps, Maps]:
    """Window by window; as many as ``gradient`` has, the last ones cut off where they stick out."""
    values, back = np.empty_like(gradient), np.zeros_like(maps)
    for place in np.ndindex(*gradient.shape):
        image, channel, *corner = place
        y, x = (stride * at for at in corner)
        part = maps[image, channel, y : y + window, x : x + window]
        share = np.full(part.shape, 1 / part.size) if average else part == part.max()
        values[place] = part.mean() if average else part.max()
        back[image, channel, y : y + window, x : x + window] += gradient[place] * share
    return values, back


@pytest.mark.parametrize(
    ("model", "name", "pool", "side", "after", "window"),
    [
        ("alexnet", "pool1", "overlapping", 55, 27, 3),
        ("alexnet", "pool5", "overlapping", 13, 6, 3),
        ("alexnet", "pool1", "plain", 55, 27, 2),
        ("alexnet", "pool5", "plain", 13, 6, 2),
        ("cifar-four-layer", "pool1", "overlapping", 32, 16, 3),
        ("cifar-four-layer", "pool2", "overlapping", 16, 8, 3),
        ("cifar-four-layer", "pool3", "plain", 9, 5, 2),
    ],
)
def test_pooling_is_the_papers_windows_and_hands_gradients_to_their_maxima(
    model: str, name: str, pool: str, side: int, after: int, window: int
) -> None:
    ours = layer(name, model, pool=pool)
    maps, gradient = random_maps(1, 2, side, side), np.random.default_rng(1).normal(size=(1, 2, after, after))
    average = model == "cifar-four-layer" and name != "pool1"
    value, back = value_and_gradient(ours, maps, gradient)
    expected, expected_back = pooled(maps, gradient, window, 2, average)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    np.testing.assert_allclose(back, expected_back, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("activation", "function"),
    [("relu", lambda x: np.maximum(x, 0)), ("tanh", np.tanh), ("sigmoid", lambda x: 1 / (1 + np.exp(-x)))],
)
def test_an_activation_is_the_function_of_its_name(activation: str, function: Any) -> None:
    maps = random_maps(1, 2, 3, 4, scale=2)
    ours = layer(f"{activation}1", activation=activation)(torch.from_numpy(maps)).numpy()
    np.testing.assert_allclose(ours, function(maps), rtol=1e-12)


@pytest.mark.parametrize(("dropout", "kept", "tested"), [("classic", 1.0, 0.5), ("inverted", 2.0, 1.0)])
def test_dropout_drops_half_in_training_and_scales_on_one_side(dropout: str, kept: float, tested: float) -> None:
    """Classic: the mask alone in training, outputs halved in the test. Inverted: doubled in training, left alone in the test."""
    drop = layer("drop6", dropout=dropout)
    values = torch.from_numpy(np.random.default_rng(0).uniform(1, 2, (200, 500)))
    outputs = drop.train()(values, torch.arange(200))
    mask = outputs != 0
    assert torch.equal(outputs, values * mask * kept)
    assert abs(mask.double().mean().item() - 0.5) < 0.005  # three standard deviations of 100,000 draws
    assert mask.double().mean(0).std() < 0.04 and mask.double().mean(1).std() < 0.025  # neither rows nor units are favoured
    assert torch.equal(drop.eval()(values, None), values * tested)


def test_dropped_units_get_no_gradient() -> None:
    drop, values = layer("drop6", dropout="classic").train(), torch.ones(4, 50, requires_grad=True)
    outputs = drop(values, torch.arange(4))
    outputs.sum().backward()
    assert values.grad is not None and torch.equal(values.grad, outputs.detach())


def test_the_two_dropouts_of_a_net_and_of_another_seed_draw_differently() -> None:
    ones, rows = torch.ones(8, 64), torch.arange(8)
    masks = [layer(name, dropout="classic", seed=seed).train()(ones, rows) for name in ("drop6", "drop7") for seed in (0, 1)]
    assert len({tuple(mask.flatten().tolist()) for mask in masks}) == 4


def test_dropout_depends_on_the_row_and_not_on_its_batch() -> None:
    drop, ones = Dropout(0.5, key=3), torch.ones(8, 64)
    whole = drop(ones, torch.arange(8))
    parts = torch.cat([drop(ones[:3], torch.arange(3)), drop(ones[3:], torch.arange(3, 8))])
    assert torch.equal(whole, parts)
    assert not torch.equal(whole, drop(ones, torch.arange(8, 16)))


def test_mix_is_splitmix64() -> None:
    def reference(number: int) -> int:
        word = 2**64 - 1
        number = (number + 0x9E3779B97F4A7C15) & word
        number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & word
        number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & word
        return number ^ (number >> 31)

    numbers = [0, 1, 42, 2**62, -1, -(2**63)]
    assert [value % 2**64 for value in mix(torch.tensor(numbers)).tolist()] == [reference(number % 2**64) for number in numbers]


@pytest.mark.parametrize("towers", [1, 2])
def test_normalisation_as_a_gpu_computes_it_is_that_of_a_cpu(towers: int) -> None:
    maps = (20 * torch.randn(2, 12, 5, 5, generator=torch.Generator().manual_seed(0))).to(memory_format=torch.channels_last)
    gradient = torch.randn(maps.shape, generator=torch.Generator().manual_seed(1))
    layer = LocalResponseNorm(towers)
    normalized = layer(maps.requires_grad_())
    normalized.backward(gradient)
    found, root = _normalize(maps.detach(), towers, 2, layer.alpha, layer.k)
    torch.testing.assert_close(found, normalized.detach())
    torch.testing.assert_close(_normalize_backward(gradient, maps.detach(), root, towers, 2, layer.alpha), maps.grad)
