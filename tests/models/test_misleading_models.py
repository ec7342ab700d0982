"""Model files and cards made to mislead are refused by name, before they take memory or give numbers."""

import json
import pickle
import resource
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.cards import card_of
from helpers.nets import meta_net, net_of
from safetensors.torch import load_file, save_file

from alexnet.errors import UserError
from alexnet.files.card import Card
from alexnet.files.whole import read_array, sha256_of
from alexnet.models.saved import load_model, save_weights, start_from

NET = "cifar-four-layer"
Tensors = dict[str, torch.Tensor]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model and its card, two classes, squares of 32 pixels."""
    weights = {name: parameter.detach() for name, parameter in net_of(NET, classes=2).named_parameters()}
    sha256 = save_weights(tmp_path / "some.safetensors", weights, torch.zeros(3, 32, 32))
    card_of(NET, ["cat", "dog"], sha256=sha256).write(tmp_path / "some.json")
    return tmp_path / "some.safetensors"


def load(model: Path, **changes: Any) -> None:
    """Load the model with a card that has the hash of the file as it is now, and changes of its fields."""
    card = json.loads(model.with_suffix(".json").read_text()) | {"sha256": sha256_of(model)}
    settings = card["settings"] | changes.pop("settings", {})
    model.with_suffix(".json").write_text(json.dumps(card | {"settings": settings} | changes))
    load_model(model, Card.read(model.with_suffix(".json")))


def refused(model: Path, why: str, **changes: Any) -> None:
    with pytest.raises(UserError) as refusal:
        load(model, **changes)
    assert why in str(refusal.value) and str(refusal.value).isprintable()
    assert model.stem in str(refusal.value) and len(str(refusal.value)) < 500


def test_the_model_is_sound(model: Path) -> None:
    load(model)


WRONG: dict[str, Callable[[Tensors], Any]] = {
    "is no tensor of float32": lambda tensors: tensors.update({"conv1.weight": tensors["conv1.weight"].double()}),
    "conv1.bias is no tensor of float32": lambda tensors: tensors.update({"conv1.bias": tensors["conv1.bias"].long()}),
    "conv2.weight is not finite": lambda tensors: tensors["conv2.weight"].view(-1)[7:8].fill_(float("nan")),
    "fc4.bias is not finite": lambda tensors: tensors["fc4.bias"][1:].fill_(float("inf")),
    "mean is not finite": lambda tensors: tensors["mean"][0, 0, 0].fill_(float("nan")),
    "mean is (3, 64, 64), not (3, 32, 32)": lambda tensors: tensors.update(mean=torch.zeros(3, 64, 64)),
    "mean": lambda tensors: tensors.pop("mean"),
    "conv9.weight": lambda tensors: tensors.update({"conv9.weight": torch.zeros(1)}),
    "conv3.bias": lambda tensors: tensors.pop("conv3.bias"),
    "fc4.weight": lambda tensors: tensors.update({"fc4.weight": torch.zeros(3, 1024)}),
    "conv1.weight is not as large as its shape says": lambda tensors: tensors.update({"conv1.weight": torch.zeros(0, 3)}),
}


@pytest.mark.parametrize("why", WRONG)
def test_tensors_that_are_not_the_nets_are_refused(model: Path, why: str) -> None:
    tensors = load_file(model)
    WRONG[why](tensors)
    save_file(tensors, model)
    refused(model, why)


def with_header(model: Path, header: dict[str, Any] | bytes, length: int | None = None) -> None:
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    model.write_bytes(struct.pack("<Q", len(content) if length is None else length) + content + bytes(64))


@pytest.mark.parametrize("end", [64, 10**15, 2**63])
def test_a_header_that_declares_vast_tensors_is_refused(model: Path, end: int) -> None:
    for shape in ([end // 4], [2**32, 2**32], [2**62, 4]):
        with_header(model, {"conv1.weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}})
        refused(model, "does not hold the net of its card")


@pytest.mark.parametrize("length", [0, 2**40, 2**64 - 1])
def test_a_header_of_a_vast_length_is_refused(model: Path, length: int) -> None:
    with_header(model, b"{}", length)
    refused(model, "does not hold the net of its card")


@pytest.mark.parametrize("header", [b"[" * 100_000, b"\xff\xfe", b'{"a": 1}', b"{" * 8, b'{"\x1b[31m": {"dtype": "F9"}}'])
def test_a_header_of_rubbish_is_refused(model: Path, header: bytes) -> None:
    with_header(model, header)
    refused(model, "does not hold the net of its card")


CARDS: list[tuple[str, dict[str, Any]]] = [
    ("does not hold the net of its card (there is no net ../../evil)", {"net": "../../evil"}),
    ("does not hold the net of its card (", {"net": "alexnet"}),
    ("does not hold the net of its card (", {"classes": ["cat"]}),
    ("does not hold the net of its card (", {"classes": 100 * ["cat"]}),
    ("classes is missing or wrong", {"classes": []}),
    ("classes.0 is missing or wrong", {"classes": [{"a": 1}]}),
    ("takes no crops of 30 pixels", {"crop_size": 30}),
    ("takes no crops of 28 pixels", {"crop_size": 28}),
    ("crop_size is missing or wrong", {"crop_size": 10**9}),
    ("crop_padding is missing or wrong", {"crop_padding": 10**9}),
    ("crop_padding is missing or wrong", {"crop_padding": -1}),
    ("size is missing or wrong", {"size": 10**9}),
    ("mean is (3, 32, 32), not (3, 1024, 1024)", {"size": 1024}),
    ("scale.1 is missing or wrong", {"scale": [1.0, 0.0, 1.0]}),
    ("scale.0 is missing or wrong", {"scale": [float("nan"), 1.0, 1.0]}),
    ("scale is missing or wrong", {"scale": [1.0]}),
    ("settings is missing or wrong", {"settings": {"threads": 10**9}}),
    ("settings is missing or wrong", {"settings": {"threads": "two"}}),
    ("does not hold the net of its card (", {"settings": {"activation": None}}),
    ("does not hold the net of its card (", {"settings": {"activation": "evil"}}),
    ("does not hold the net of its card (", {"settings": {"pool": [1]}}),
]


@pytest.mark.parametrize(("why", "changes"), CARDS)
def test_a_card_made_to_mislead_is_refused(model: Path, why: str, changes: dict[str, Any]) -> None:
    refused(model, why, **changes)


def test_a_card_without_a_setting_of_its_net_is_refused(model: Path) -> None:
    card = json.loads(model.with_suffix(".json").read_text())
    del card["settings"]["seed"]
    model.with_suffix(".json").write_text(json.dumps(card))
    refused(model, "does not hold the net of its card ('seed')")


def start(path: Path, why: str) -> None:
    with pytest.raises(UserError, match=rf"init_from: .*{path.name} .*{why}") as refusal:
        start_from(path, meta_net("alexnet-owt", classes=2), ["cat", "dog"])
    assert str(refusal.value).isprintable()


def test_weights_to_start_from_are_checked_too(model: Path) -> None:
    tensors = load_file(model)
    for wrong in (tensors["conv1.weight"] * float("nan"), tensors["conv1.weight"].long(), torch.zeros(())):
        save_file(tensors | {"conv1.weight": wrong}, model)
        start(model, "holds no known weights")


class Evil:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("/tmp/never"),))


@pytest.mark.filterwarnings("ignore")  # torch warns of the kinds of files
def test_torchs_files_made_to_mislead_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.pth"
    name = "features.0.weight"
    vast = torch.zeros(1).expand(10**12)
    contents: list[Any] = [7, [name], torch.zeros(3), {name: 7}, {name: vast}, {7: torch.zeros(1)}, {name: torch.zeros(())}]
    for content in [*contents, {name: torch.zeros(3).to_sparse()}, {"features.0": torch.zeros(1)}]:
        torch.save(content, path)
        start(path, "holds no known weights")
    path.write_bytes(pickle.dumps({name: Evil()}))
    start(path, "holds no known weights")


def test_a_packed_file_of_torch_is_refused_unread(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(50_000_000)}, tmp_path / "whole.pth")
    path = tmp_path / "some.pth"
    with zipfile.ZipFile(tmp_path / "whole.pth") as whole, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for member in whole.infolist():
            packed.writestr(member.filename, whole.read(member))
    assert path.stat().st_size < 10**6
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start(path, "it is compressed")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_arrays_made_to_mislead_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mean.npy"
    np.save(path, np.zeros((3, 8, 8), np.float32))
    sound = path.read_bytes()
    assert read_array(path).shape == (3, 8, 8)
    pickled = sound.replace(b"'<f4'", b"'|O' ")
    for content in (
        b"",
        sound[:-1],
        sound[:50],
        sound.replace(b"(3, 8, 8), }     ", b"(3, 8, 8000000), "),
        pickled,
        sound.replace(b"{", b"["),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"mean\.npy is damaged \(.*\); run `dvc repro` to make it again"):
            read_array(path)
    path.unlink()
    with pytest.raises(UserError, match=r"mean\.npy is missing"):
        read_array(path)
