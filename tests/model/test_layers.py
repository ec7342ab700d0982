"""The layers against the paper's formulas in NumPy float64."""

import numpy as np
import pytest
import torch

from alexnet.model.layers import Dropout, LocalResponseNorm, mix


def normalized(maps: np.ndarray, towers: int) -> np.ndarray:
    """Section 3.3 of the paper, map by map."""
    k, size, alpha, beta = 2, 5, 1e-4, 0.75
    result = np.empty_like(maps)
    per_tower = maps.shape[1] // towers
    for channel in range(maps.shape[1]):
        tower = channel // per_tower
        first = max(tower * per_tower, channel - size // 2)
        last = min((tower + 1) * per_tower - 1, channel + size // 2)
        squares = (maps[:, first : last + 1] ** 2).sum(axis=1)
        result[:, channel] = maps[:, channel] / (k + alpha * squares) ** beta
    return result


@pytest.mark.parametrize("towers", [1, 2])
def test_lrn_is_the_papers_formula_over_a_towers_maps(towers: int) -> None:
    maps = np.random.default_rng(0).normal(0, 60, (2, 12, 3, 4))
    ours = LocalResponseNorm(towers)(torch.from_numpy(maps)).numpy()
    np.testing.assert_allclose(ours, normalized(maps, towers), rtol=1e-12)


def test_lrn_has_the_gradient_of_its_formula() -> None:
    maps = (60 * torch.randn(2, 12, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))).requires_grad_()
    assert torch.autograd.gradcheck(LocalResponseNorm(2), (maps,), eps=1e-4)


def test_lrn_takes_maps_in_any_memory_order() -> None:
    maps = torch.randn(2, 12, 5, 5) * 60
    torch.testing.assert_close(LocalResponseNorm(2)(maps), LocalResponseNorm(2)(maps.to(memory_format=torch.channels_last)))


def test_dropout_drops_half_in_training_and_halves_in_the_test() -> None:
    layer, ones = Dropout(0.5, key=3), torch.ones(200, 500)
    kept = layer(ones, torch.arange(200))
    assert set(kept.unique().tolist()) == {0.0, 1.0}  # classic: nothing is scaled up
    assert abs(kept.mean().item() - 0.5) < 0.01
    assert kept.mean(0).std() < 0.05 and kept.mean(1).std() < 0.04  # neither rows nor units are favoured
    assert torch.equal(layer.eval()(ones, torch.arange(200)), ones / 2)


def test_dropout_depends_on_the_row_and_not_on_its_batch() -> None:
    layer, ones = Dropout(0.5, key=3), torch.ones(8, 64)
    whole = layer(ones, torch.arange(8))
    parts = torch.cat([layer(ones[:3], torch.arange(3)), layer(ones[3:], torch.arange(3, 8))])
    assert torch.equal(whole, parts)
    assert not torch.equal(whole, layer(ones, torch.arange(8, 16)))
    assert not torch.equal(whole, Dropout(0.5, key=4)(ones, torch.arange(8)))


def test_mix_is_splitmix64() -> None:
    def reference(number: int) -> int:
        word = 2**64 - 1
        number = (number + 0x9E3779B97F4A7C15) & word
        number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & word
        number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & word
        return number ^ (number >> 31)

    numbers = [0, 1, 42, 2**62, -1, -(2**63)]
    assert [value % 2**64 for value in mix(torch.tensor(numbers)).tolist()] == [reference(number % 2**64) for number in numbers]
