"""The locally connected layer against a loop over its places, and against a convolution."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.models.local import LocallyConnected2d

SIZE = (3, 4)


@pytest.fixture
def layer() -> LocallyConnected2d:
    """Two maps in, five out, kernels of 3 pixels, in float64."""
    made = LocallyConnected2d(2, 5, side=3, size=SIZE).double()
    for parameter in made.parameters():
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    return made


@pytest.fixture
def maps() -> Tensor:
    return torch.randn(3, 2, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def test_each_place_sums_what_its_own_kernels_see(layer: LocallyConnected2d, maps: Tensor) -> None:
    padded, found = F.pad(maps, (1, 1, 1, 1)), layer(maps)
    assert found.shape == (3, 5, *SIZE)
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            seen = padded[:, :, y : y + 3, x : x + 3]
            expected = torch.einsum("nchw,kchw->nk", seen, layer.weight[y, x]) + layer.bias[y, x]
            torch.testing.assert_close(found[:, :, y, x], expected)


def test_with_the_same_kernels_everywhere_it_is_a_convolution(layer: LocallyConnected2d, maps: Tensor) -> None:
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(parameter[:1, :1].expand_as(parameter).clone())
    torch.testing.assert_close(layer(maps), F.conv2d(maps, layer.weight[0, 0], layer.bias[0, 0], padding=1))


def test_it_takes_maps_in_any_memory_order_and_puts_out_channels_last(layer: LocallyConnected2d, maps: Tensor) -> None:
    found = layer(maps.contiguous(memory_format=torch.channels_last))
    assert torch.equal(found, layer(maps))
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_under_autocast_it_computes_in_bfloat16(layer: LocallyConnected2d, maps: Tensor) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer.float()(maps.float())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), layer(maps.float()), rtol=0.05, atol=0.1)
