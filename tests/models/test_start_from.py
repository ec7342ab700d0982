"""A training may start from a model of ours, or from torchvision's published weights; what does not fit is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.cards import card_of
from helpers.nets import meta_net, net_of
from safetensors.torch import save_file
from torchvision.models import alexnet as torchvision_alexnet  # type: ignore[import-untyped]

from alexnet.errors import UserError
from alexnet.files.whole import sha256_of
from alexnet.models.initialization import initialize
from alexnet.models.network import Network
from alexnet.models.saved import load_model, save_weights, start_from

IMAGES = torch.randn(4, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def weights(net: Network) -> dict[str, torch.Tensor]:
    return {name: parameter.detach() for name, parameter in net.named_parameters()}


def ours(model: str, classes: int = 10, seed: int = 0) -> Network:
    net = meta_net(model, classes)
    initialize(net, "xavier", seed)
    return net


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    """A file as torchvision publishes it, with random weights, and the net that it belongs to."""
    torch.manual_seed(1)
    theirs = torchvision_alexnet(num_classes=12).eval()
    path = tmp_path_factory.mktemp("published") / "alexnet-owt.pth"
    torch.save(theirs.state_dict(), path)
    return path, theirs


@torch.no_grad()
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_alexnet_owt_gives_torchvisions_outputs_bitwise(published: Any, tmp_path: Path, layout: torch.memory_format) -> None:
    """From torchvision's file to ours, and from ours to the outputs."""
    path, theirs = published
    net = ours("alexnet-owt", classes=12)
    start_from(path, net, list("abcdefghijkl"))
    sha256 = save_weights(tmp_path / "m.safetensors", weights(net), torch.zeros(3, 256, 256))
    loaded, _ = load_model(tmp_path / "m.safetensors", card_of("alexnet-owt", names=list("abcdefghijkl"), sha256=sha256))
    images = IMAGES.to(memory_format=layout)
    expected = theirs.to(memory_format=layout)(images)
    assert torch.equal(loaded.to(memory_format=layout)(images), expected)
    assert expected.std() > 0


@pytest.mark.parametrize("model", ["alexnet-32", "cifar-four-layer"])
def test_a_model_of_ours_is_taken_over_whole(model: str, tmp_path: Path) -> None:
    before, net = ours(model), ours(model, seed=1)
    save_file({**weights(before), "mean": torch.zeros(3, 32, 32)}, tmp_path / "start.safetensors")
    assert start_from(tmp_path / "start.safetensors", net, list("0123456789")) == sha256_of(tmp_path / "start.safetensors")
    assert all(torch.equal(value, weights(before)[name]) for name, value in weights(net).items())


def test_with_another_class_count_the_last_layer_stays_new(tmp_path: Path) -> None:
    before, net, fresh = (
        ours("alexnet-32", classes=10),
        ours("alexnet-32", classes=3, seed=1),
        ours("alexnet-32", classes=3, seed=1),
    )
    save_file(weights(before), tmp_path / "start.safetensors")
    assert start_from(tmp_path / "start.safetensors", net, ["a", "b", "c"]).endswith(", new fc8")
    for name, value in weights(net).items():
        assert torch.equal(value, weights(fresh if name.startswith("fc8") else before)[name]), name


def test_the_last_layer_is_taken_only_for_the_classes_of_the_card(tmp_path: Path) -> None:
    path, before = tmp_path / "start.safetensors", ours("alexnet-32")
    card_of("alexnet-32", sha256=save_weights(path, weights(before), torch.zeros(3, 32, 32))).write(path.with_suffix(".json"))
    for classes, new in ((list("0123456789"), False), (list("abcdefghij"), True)):
        net, fresh = ours("alexnet-32", seed=1), ours("alexnet-32", seed=1)
        assert start_from(path, net, classes) == sha256_of(path) + (", new fc8" if new else "")
        assert torch.equal(net.get_parameter("fc8.weight"), (fresh if new else before).get_parameter("fc8.weight"))
        assert torch.equal(net.get_parameter("fc7.weight"), before.get_parameter("fc7.weight"))


@pytest.mark.parametrize("file", ["one-tower", "torchvision", "more", "less"])
def test_another_net_is_refused(published: Any, tmp_path: Path, file: str) -> None:
    path = tmp_path / "start.safetensors"
    tensors = weights(net_of("alexnet-32", towers=1 if file == "one-tower" else 2))
    if file == "less":
        del tensors["conv4.bias"]
    if file == "more":
        tensors["conv6.weight"] = torch.zeros(1)
    save_file(tensors, path)
    with pytest.raises(UserError, match=r"init_from: .* is of another net: it"):
        start_from(published[0] if file == "torchvision" else path, ours("alexnet-32"), list("0123456789"))


def test_a_file_without_weights_is_refused_and_nothing_in_it_is_run(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return (tmp_path / "harm").mkdir, ()

    torch.save({"features.0.weight": Harm()}, tmp_path / "harm.pth")
    (tmp_path / "text.safetensors").write_text("no weights")
    (tmp_path / "empty.pth").touch()
    torch.save({"layer1.weight": torch.zeros(1)}, tmp_path / "resnet.pth")
    for name in ("harm.pth", "text.safetensors", "empty.pth", "resnet.pth"):
        with pytest.raises(UserError, match=r"init_from: .* holds no known weights .*; use a \.safetensors file") as refusal:
            start_from(tmp_path / name, ours("alexnet-owt"), list("0123456789"))
        assert str(refusal.value).isprintable()
    assert not (tmp_path / "harm").exists()
    with pytest.raises(UserError, match=r"none\.pth cannot be read \(No such file or directory\); set it to a model's file"):
        start_from(tmp_path / "none.pth", ours("alexnet-32"), list("0123456789"))
