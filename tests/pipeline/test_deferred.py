"""The deferred gradients are those of torch's autograd."""

from typing import Any

import pytest
import torch
from helpers.nets import net_of
from torch import Tensor, nn

from alexnet.models.local import LocallyConnected2d
from alexnet.models.network import Network
from alexnet.pipeline.deferred import DeferredGradients
from alexnet.pipeline.deferred_layers import BlockConv2d, DeferredConv2d, DeferredLinear, UngroupedConv2d, defer

LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(6, 5), (4, 6)),
    "convolution": (lambda: nn.Conv2d(2, 3, 3, stride=2, padding=1), (4, 2, 5, 5)),
    "convolution of two towers": (lambda: nn.Conv2d(4, 6, 3, groups=2), (4, 4, 4, 4)),
    "local": (lambda: drawn(LocallyConnected2d(2, 3, side=3, size=(3, 4))), (4, 2, 3, 4)),
}


def drawn(layer: LocallyConnected2d) -> LocallyConnected2d:
    for parameter in layer.parameters():
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    return layer


def deferred_and_plain(name: str) -> tuple[Network, DeferredGradients, nn.Module, Tensor]:
    """A net of one layer whose gradients are deferred, those, the same layer of torch's, and its input."""
    make, shape = LAYERS[name]
    ours, plain = Network([("layer", make().double())]), make().double()
    plain.load_state_dict(ours.get_submodule("layer").state_dict())
    input = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return ours, defer(ours), plain, input.requires_grad_()


@pytest.mark.parametrize("name", LAYERS)
def test_the_gradient_of_the_input_passes_gradcheck(name: str) -> None:
    net, _, _, input = deferred_and_plain(name)
    assert torch.autograd.gradcheck(net, (input,))


@pytest.mark.parametrize("microbatches", [1, 2, 4])
@pytest.mark.parametrize("name", LAYERS)
def test_the_gradients_of_the_weights_are_autograds_however_late_they_are_computed(name: str, microbatches: int) -> None:
    ours, gradients, plain, input = deferred_and_plain(name)
    later = []
    for part in input.chunk(microbatches):
        ours(part).square().sum().backward()
        later.append(gradients.take_microbatch())
    assert all(parameter.grad is None for parameter in ours.parameters())
    for compute in later:
        compute()
    gradients.compute()
    plain(input).square().sum().backward()
    for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_a_second_batch_adds_to_the_gradients_unless_they_were_dropped() -> None:
    net, gradients, _, input = deferred_and_plain("linear")
    found = []
    for batch in range(3):
        if batch == 2:
            net.zero_grad()
        net(input).square().sum().backward()
        gradients.take_microbatch()()
        gradients.compute()
        (gradient,) = [parameter.grad for name, parameter in net.named_parameters() if name == "layer.weight"]
        assert gradient is not None
        found.append(gradient.clone())
    torch.testing.assert_close(found[1], 2 * found[0])
    assert torch.equal(found[2], found[0])


def test_a_weight_is_cast_once_a_batch_and_anew_in_the_next() -> None:
    net = Network([("layer", nn.Linear(6, 5))])
    gradients, weight = defer(net), net.get_parameter("layer.weight")
    first = gradients.cast(weight, torch.bfloat16)
    assert first is gradients.cast(weight, torch.bfloat16)
    assert gradients.cast(weight, torch.float32) is weight
    gradients.compute()
    with torch.no_grad():
        weight.add_(1)
    assert torch.equal(gradients.cast(weight, torch.bfloat16), weight.bfloat16())
    assert not torch.equal(gradients.cast(weight, torch.bfloat16), first)


def test_the_net_keeps_its_parameters_their_names_and_their_order() -> None:
    net = net_of("alexnet-32")
    before, layers = dict(net.named_parameters()), [name for name, _ in net.named_children()]
    defer(net)
    after = dict(net.named_parameters())
    assert list(after) == list(before)
    assert all(after[name] is parameter for name, parameter in before.items())
    assert [name for name, _ in net.named_children()] == layers
    assert not any(isinstance(layer, nn.Conv2d | nn.Linear) for layer in net.children())
    assert {type(layer) for layer in net.children() if list(layer.parameters())} == {DeferredConv2d, DeferredLinear}


def test_a_whole_net_has_the_gradients_of_plain_torch_layers() -> None:
    net, plain = net_of("alexnet-32").double(), net_of("alexnet-32").double()
    gradients = defer(net)
    images, rows = torch.randn(4, 3, 28, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), torch.arange(4)
    for part, numbers in zip(images.chunk(2), rows.chunk(2), strict=True):
        net(part, numbers).square().sum().backward()
        gradients.take_microbatch()()
    gradients.compute()
    plain(images, rows).square().sum().backward()
    for (name, mine), theirs in zip(net.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-9, atol=1e-12, msg=name)


def test_without_gradients_a_deferred_net_gives_what_the_plain_one_does() -> None:
    net, plain = net_of("alexnet-32").eval(), net_of("alexnet-32").eval()
    gradients = defer(net)
    images = torch.randn(4, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(net(images), plain(images))
    gradients.take_microbatch()()
    gradients.compute()
    assert all(parameter.grad is None for parameter in net.parameters())


def test_under_autocast_the_layers_compute_in_bfloat16_and_leave_float32_gradients() -> None:
    net, plain = net_of("alexnet-32"), net_of("alexnet-32")
    gradients = defer(net)
    images, rows = torch.randn(4, 3, 28, 28, generator=torch.Generator().manual_seed(0)), torch.arange(4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, expected = net(images, rows), plain(images, rows)
        logits.float().square().mean().backward()
        expected.float().square().mean().backward()
    gradients.take_microbatch()()
    gradients.compute()
    assert logits.dtype == torch.bfloat16
    assert torch.equal(logits, expected)
    for (name, mine), theirs in zip(net.named_parameters(), plain.parameters(), strict=True):
        assert mine.grad is not None and theirs.grad is not None
        assert mine.grad.dtype == torch.float32
        assert (mine.grad - theirs.grad).norm() <= 0.01 * theirs.grad.norm(), name


@pytest.mark.parametrize(
    ("kind", "layer", "side"),
    [
        (UngroupedConv2d, nn.Conv2d(4, 6, 5, padding=2, groups=2), 7),
        (BlockConv2d, nn.Conv2d(3, 5, 11, stride=4), 35),
        (BlockConv2d, nn.Conv2d(3, 5, 11, stride=4, padding=2), 34),
    ],
)
def test_a_convolution_in_the_form_for_a_gpu_has_the_outputs_and_gradients_of_the_plain_one(
    kind: type[DeferredConv2d], layer: nn.Conv2d, side: int
) -> None:
    plain = layer.double()
    assert plain.bias is not None
    input = torch.randn(3, plain.in_channels, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    input.requires_grad_()
    outputs = plain(input)
    outputs.backward(gradient := torch.randn(outputs.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    ours = kind(plain, DeferredGradients())
    with torch.no_grad():
        prepared, weight = ours.prepared(input, plain.weight)
        torch.testing.assert_close(ours.output(prepared, weight, plain.bias), outputs)
        for found, expected in zip(ours.weight_gradients(gradient, prepared), (plain.weight.grad, plain.bias.grad), strict=True):
            torch.testing.assert_close(found, expected)
        if kind is UngroupedConv2d:
            torch.testing.assert_close(ours.input_gradient(gradient, prepared, weight), input.grad)
