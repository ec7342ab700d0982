"""A model comes back from its files as it was, and damaged files are refused."""

from pathlib import Path

import pytest
import torch
from helpers.cards import card_of
from helpers.nets import net_of
from safetensors.torch import load_file

from alexnet.errors import UserError
from alexnet.files.card import FORMAT, Card
from alexnet.files.whole import sha256_of
from alexnet.models.saved import load_model, save_weights

MEAN = torch.arange(3 * 256 * 256.0).view(3, 256, 256)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save(folder)
    return folder


def save(folder: Path) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    weights = {name: parameter.detach() for name, parameter in net_of(classes=2).named_parameters()}
    sha256 = save_weights(folder / "alexnet.safetensors", weights, MEAN)
    assert sha256 == sha256_of(folder / "alexnet.safetensors")
    card_of("alexnet", names=["cat", "dog"], sha256=sha256).write(folder / "alexnet.json")
    return weights


def test_the_file_holds_the_nets_names_and_the_mean(folder: Path) -> None:
    tensors = load_file(folder / "alexnet.safetensors")
    layers = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
    assert set(tensors) == {"mean"} | {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}


def test_a_saved_model_comes_back_bitwise(folder: Path, tmp_path: Path) -> None:
    weights = save(tmp_path)
    card = Card.read(folder / "alexnet.json")
    net, mean = load_model(folder / "alexnet.safetensors", card)
    assert all(torch.equal(parameter, weights[name]) for name, parameter in net.named_parameters())
    assert torch.equal(mean, MEAN)
    assert not net.training
    for name in ("alexnet.safetensors", "alexnet.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()  # the same bytes again


def test_a_file_that_is_not_the_cards_is_refused(folder: Path, tmp_path: Path) -> None:
    card = Card.read(folder / "alexnet.json")
    content = bytearray((folder / "alexnet.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "other.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="is not the file that its card describes"):
        load_model(tmp_path / "other.safetensors", card)
    with pytest.raises(UserError, match="is missing"):
        load_model(tmp_path / "none.safetensors", card)


def test_a_missing_or_damaged_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is missing"):
        Card.read(tmp_path / "none.json")
    (tmp_path / "half.json").write_text('{"net": "alexnet"')
    with pytest.raises(UserError, match="is damaged"):
        Card.read(tmp_path / "half.json")
    (tmp_path / "other.json").write_text(f'{{"format": {FORMAT}, "net": "alexnet"}}')
    with pytest.raises(UserError, match="is damaged: classes is missing or wrong"):
        Card.read(tmp_path / "other.json")
