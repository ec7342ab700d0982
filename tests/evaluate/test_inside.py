"""What is written of the net's inside is what its layers do: their maps, their costs, and what the pipeline sends."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.cards import card_of
from helpers.nets import net_of
from safetensors.torch import load_file
from torch import Tensor

from alexnet.config.nets import NETS
from alexnet.evaluate.evaluation import Runner
from alexnet.evaluate.inside import look_inside, write_inside
from alexnet.input.shards import Shards
from alexnet.models.costs import costs
from alexnet.models.network import Network
from alexnet.pipeline.boundary import boundary_tensors
from alexnet.pipeline.pipeline import split
from alexnet.prepare.pixels import decode


def hooked(net: Network, image: Tensor) -> dict[str, Tensor]:
    """The outputs of all layers in a pass through the whole net, in evaluation mode."""
    found: dict[str, Tensor] = {}
    hooks = [
        layer.register_forward_hook(lambda module, inputs, outputs, name=name: found.update({name: outputs}))
        for name, layer in net.named_children()
    ]
    with torch.no_grad():
        net.eval()(image)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize(
    ("model", "activation", "maps"),
    [
        ("alexnet-32", "relu", {"conv1": "relu1", "conv2": "relu2", "conv3": "relu3", "conv4": "relu4", "conv5": "relu5"}),
        ("cifar-four-layer", "tanh", {"conv1": "tanh1", "conv2": "tanh2", "conv3": "tanh3"}),
        ("cifar-conv-local", "relu", {"conv1": "relu1", "conv2": "relu2", "local3": "relu3", "local4": "relu4"}),
    ],
)
def test_maps_are_what_the_activations_put_out(model: str, activation: str, maps: dict[str, str]) -> None:
    net = net_of(model, crop_size=28, activation=activation)
    image = torch.randn(1, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    _, found = look_inside(net, image)
    expected = hooked(net, image)
    assert list(found) == list(maps)
    for convolution, name in maps.items():
        torch.testing.assert_close(torch.from_numpy(found[convolution]), expected[name][0])


@pytest.mark.parametrize("model", ["alexnet-32", "cifar-four-layer"])
def test_layers_cost_and_pass_on_what_the_net_and_the_pipeline_do(model: str) -> None:
    net = net_of(model, crop_size=28)
    image = torch.zeros(1, 3, 28, 28)
    layers, _ = look_inside(net, image)
    assert [layer["name"] for layer in layers] == net.weighted
    found = {layer["name"]: layer for layer in layers}
    outputs = hooked(net, image)
    for name, cost in costs(net, 28).items():
        assert (found[name]["parameters"], found[name]["macs"]) == (cost.parameters, cost.macs)
        assert found[name]["output"] == list(outputs[name].shape[1:])
    for cut in NETS[model].cuts:
        _, crossing, _ = boundary_tensors(split(net, (cut,)), 1, 28, torch.float32)
        assert found[cut]["input_values"] == crossing.numel()


def test_the_image_is_the_centre_crop_of_the_first_of_the_split(tiny: Path, tmp_path: Path) -> None:
    net, shards = net_of("alexnet-32", crop_size=28), Shards(tiny / "data/shards", "test")
    card, mean = card_of(size=32, crop_size=28, crop_padding=0), torch.full((3, 32, 32), 100.0)
    write_inside(tmp_path, net, shards, Runner(mean, card, torch.device("cpu"), cores=1))
    square = torch.from_numpy(np.array(decode(bytes(shards.jpeg(0))))).permute(2, 0, 1)[None].float() - mean
    layers, expected = look_inside(net, square[..., 2:30, 2:30].contiguous())
    assert json.loads((tmp_path / "layers.json").read_text()) == layers
    maps = load_file(tmp_path / "maps.safetensors")
    assert maps.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(maps[name], torch.from_numpy(values), rtol=1e-3, atol=1e-3)
