"""The gradients that are formed apart are those of torch's autograd."""

from typing import Any

import pytest
import torch
from helpers.nets import net_of
from torch import Tensor, nn

from alexnet.pipeline.deferred import Conv2d, Linear, WeightGradients

LAYERS = {
    "linear": (lambda kind: kind(6, 5), (4, 6)),
    "convolution": (lambda kind: kind(4, 6, 3, stride=2, padding=1), (4, 4, 7, 7)),
    "convolution of two towers": (lambda kind: kind(4, 6, 3, groups=2), (4, 4, 5, 5)),
}


def layer_and_input(name: str) -> tuple[Any, Any, Tensor]:
    make, shape = LAYERS[name]
    ours = make(Linear if name == "linear" else Conv2d).double()
    plain = make(nn.Linear if name == "linear" else nn.Conv2d).double()
    plain.load_state_dict(ours.state_dict())
    input = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return ours, plain, input.requires_grad_()


@pytest.mark.parametrize("name", LAYERS)
def test_the_gradient_of_the_input_passes_gradcheck(name: str) -> None:
    layer, _, input = layer_and_input(name)
    WeightGradients(layer)
    assert torch.autograd.gradcheck(layer, (input,))


@pytest.mark.parametrize("microbatches", [1, 2, 4])
@pytest.mark.parametrize("name", LAYERS)
def test_the_gradients_of_the_weights_are_autograds_however_late_they_are_formed(name: str, microbatches: int) -> None:
    ours, plain, input = layer_and_input(name)
    gradients = WeightGradients(ours)
    later = []
    for part in input.chunk(microbatches):
        ours(part).square().sum().backward()
        later.append(gradients.microbatch())
    assert all(parameter.grad is None for parameter in ours.parameters())
    for form in later:
        form()
    gradients.form()
    plain(input).square().sum().backward()
    for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_a_second_batch_adds_to_the_gradients_unless_they_were_dropped() -> None:
    layer, _, input = layer_and_input("linear")
    gradients = WeightGradients(layer)
    found = []
    for batch in range(3):
        if batch == 2:
            layer.zero_grad()
        layer(input).square().sum().backward()
        gradients.microbatch()()
        gradients.form()
        found.append(layer.weight.grad.clone())
    torch.testing.assert_close(found[1], 2 * found[0])
    assert torch.equal(found[2], found[0])


def test_a_weight_is_cast_once_a_batch_and_anew_in_the_next() -> None:
    layer = Linear(6, 5)
    gradients = WeightGradients(layer)
    first = gradients.cast(layer.weight, torch.bfloat16)
    assert first is gradients.cast(layer.weight, torch.bfloat16)
    assert gradients.cast(layer.weight, torch.float32) is layer.weight
    gradients.form()
    with torch.no_grad():
        layer.weight.add_(1)
    assert torch.equal(gradients.cast(layer.weight, torch.bfloat16), layer.weight.bfloat16())
    assert not torch.equal(gradients.cast(layer.weight, torch.bfloat16), first)


def test_under_autocast_the_layers_compute_in_bfloat16_and_leave_float32_gradients() -> None:
    net, plain = net_of("alexnet-32"), net_of("alexnet-32")
    gradients = WeightGradients(net)
    images, rows = torch.randn(4, 3, 28, 28, generator=torch.Generator().manual_seed(0)), torch.arange(4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, expected = net(images, rows), plain(images, rows)
        logits.float().square().mean().backward()
        expected.float().square().mean().backward()
    gradients.microbatch()()
    gradients.form()
    assert logits.dtype == torch.bfloat16
    assert torch.equal(logits, expected)
    for (name, mine), theirs in zip(net.named_parameters(), plain.parameters(), strict=True):
        assert mine.grad is not None and theirs.grad is not None
        assert mine.grad.dtype == torch.float32
        assert (mine.grad - theirs.grad).norm() <= 0.01 * theirs.grad.norm(), name
