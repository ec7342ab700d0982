"""Exported nets against the nets themselves, on photographs, and what is refused."""

import base64
import io
import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from helpers.exported import Patch, assert_onnx_answers_as_torch, model_of, squares_of
from torchvision.models import alexnet as torchvisions  # type: ignore[import-untyped]

from alexnet.commands import export as command
from alexnet.config.nets import NETS
from alexnet.errors import UserError
from alexnet.export import export as exporting
from alexnet.export import formats
from alexnet.export.export import export
from alexnet.models.saved import save_weights

SMALL = [name for name, net in NETS.items() if net.crops[0] <= 32]
"""``tests/services/test_large_nets.py`` has the others."""


@pytest.mark.parametrize("name", SMALL)
def test_every_net_names_photographs_in_onnxruntime_as_in_torch(name: str, tmp_path: Path, patch: Patch) -> None:
    assert_onnx_answers_as_torch(name, tmp_path / "net.onnx", patch)


def test_an_onnx_file_tells_how_pixels_become_its_inputs(tmp_path: Path, patch: Patch) -> None:
    model, path = model_of("cifar-four-layer"), tmp_path / "net.onnx"
    export(model, path, "onnx")
    session = onnxruntime.InferenceSession(path)
    known = session.get_modelmeta().custom_metadata_map
    steps = json.loads(known["alexnet.preparation"])
    mean = np.load(io.BytesIO(base64.b64decode(known[steps["mean"]])))
    pixels = squares_of(model, patch).transpose(0, 3, 1, 2)
    centred = (pixels - mean) / np.array(steps["scale"], np.float32)[:, None, None]
    padded = np.pad(centred, [(0, 0), (0, 0), *2 * [2 * (steps["padding"],)]])
    margin = (padded.shape[-1] - steps["crop"]) // 2
    inputs = padded[:, :, margin : margin + steps["crop"], margin : margin + steps["crop"]]
    (logits,) = session.run(None, {"images": inputs.astype(np.float32)})
    expected = model.probabilities(squares_of(model, patch), ten_crop=False)
    np.testing.assert_allclose(torch.tensor(logits).softmax(1), expected, atol=1e-5)


def test_a_pt2_program_names_photographs_as_the_net_does(tmp_path: Path, patch: Patch) -> None:
    model, path = model_of("alexnet-32", torch.tensor([100.0, 110.0, 120.0])[:, None, None]), tmp_path / "net.pt2"
    export(model, path, "pt2", prepared=True)
    files = {"alexnet.classes": ""}
    program = torch.export.load(path, extra_files=files).module()
    pixels = squares_of(model, patch)
    torch.testing.assert_close(program(torch.from_numpy(pixels)), model.probabilities(pixels, ten_crop=False))
    assert json.loads(files["alexnet.classes"]) == model.classes


def test_torchvisions_own_net_takes_the_weights_and_gives_the_same_outputs(tmp_path: Path) -> None:
    """Its dropout does not halve in evaluation, as classic dropout does."""
    model, path = model_of("alexnet-owt", dropout="classic"), tmp_path / "net.pth"
    export(model, path, "torchvision")
    theirs = torchvisions(num_classes=len(model.classes))
    theirs.load_state_dict(torch.load(path, weights_only=True))
    _, inputs = exporting.photographs(model)
    with torch.no_grad():
        torch.testing.assert_close(theirs.eval()(inputs), model.net(inputs))


def test_torchvision_has_no_other_net(tmp_path: Path) -> None:
    for model in (model_of("alexnet-32"), model_of("alexnet-owt", activation="tanh")):
        with pytest.raises(UserError, match="torchvision has no such net"):
            export(model, tmp_path / "net.pth", "torchvision")
    with pytest.raises(UserError, match="torchvision's format holds weights only"):
        export(model_of("alexnet-32"), tmp_path / "net.pth", "torchvision", prepared=True)
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_differ_from_the_nets_are_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "pt2", lambda graph: (b"program", lambda images: graph.module(images) + 0.001))
    with pytest.raises(UserError, match=r"its outputs differ from the net's by 1\.0e-03, more than 1\.0e-04; not written"):
        export(model_of("cifar-four-layer"), tmp_path / "net.pt2", "pt2", prepared=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("to", "output", "said"),
    [
        ("onxx", "net.onnx", r"there is no format onxx; did you mean onnx\?"),
        ("pt2", "none/net.pt2", "the folder .*none is missing; create it, or choose another place with -o"),
        ("pt2", "model.safetensors", "is the model itself; choose another file with -o"),
        ("pt2", ".", "is a folder; choose a file with -o"),
        ("pt2", "/sys/net.pt2", r"/sys/net.pt2 cannot be written \(.+\); choose another place with -o"),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_work(to: str, output: str, said: str, tmp_path: Path) -> None:
    model, path = model_of("cifar-four-layer"), tmp_path / "model.safetensors"
    weights = {name: value.detach() for name, value in model.net.named_parameters()}
    sha256 = save_weights(path, weights, model.normalization.mean.permute(2, 0, 1))
    model.card.model_copy(update={"sha256": sha256}).write(path.with_suffix(".json"))
    arguments = Namespace(model=str(path), to=to, output=tmp_path / output, with_preparation=False)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(UserError, match=said):
        patch.setattr(exporting, "_checked", lambda *_: pytest.fail("the work has begun"))
        command.run(arguments)
    assert {file.name for file in tmp_path.iterdir()} == {"model.safetensors", "model.json"}
