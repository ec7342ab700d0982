"""One image from its file is given the probabilities that the test gives it, whatever its scale, padding and mean."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.asking import ask
from helpers.cards import card_of
from helpers.nets import net_of
from torch import Tensor

from alexnet.evaluate.evaluation import Runner, evaluate
from alexnet.input.shards import Shards
from alexnet.models.saved import load_model, save_weights


@pytest.mark.parametrize(("scale", "padding"), [([1.0, 1.0, 1.0], 0), ([50.0, 60.0, 70.0], 4)])
def test_predict_and_the_evaluation_agree_with_the_formula(
    tiny: Path,
    tmp_path: Path,
    scale: list[float],
    padding: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Softmax of the net over (pixels - mean) / scale, zeros around, the mean over crops."""
    shards = Shards(tiny / "data/shards", "test")
    mean = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0)) * 200
    weights = dict(net_of("alexnet-32", crop_size=28, crop_padding=padding).named_parameters())
    sha256 = save_weights(tmp_path / "model.safetensors", {name: value.detach() for name, value in weights.items()}, mean)
    card = card_of(size=32, crop_size=28, crop_padding=padding, scale=scale, flip=False, sha256=sha256)
    card.write(tmp_path / "model.json")
    net, mean = load_model(tmp_path / "model.safetensors", card)
    evaluation = evaluate(net, shards, Runner(mean, card, torch.device("cpu"), cores=1))
    for image in range(3):
        file = tmp_path / f"{image}.jpg"
        file.write_bytes(shards.jpeg(image))
        found = [_printed(capsys, file, *crops) for crops in ((), ("--ten-crop",))]
        pixels = decoded(file)
        centred = (pixels.transpose(2, 0, 1) - mean.numpy()) / np.array(scale)[:, None, None]
        whole = np.pad(centred, [(0, 0), (padding, padding), (padding, padding)])
        last = whole.shape[1] - 28
        places = [(last // 2, last // 2), (0, 0), (0, last), (last, 0), (last, last)]
        crops = [whole[:, y : y + 28, x : x + 28] for y, x in places]
        expected = net(torch.from_numpy(np.stack(crops)).float()).softmax(1).detach()
        torch.testing.assert_close(found[0], expected[0], rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(found[1], expected.mean(0), rtol=1e-3, atol=1e-5)
        # Two decoders of JPEG may differ by a grey level or two.
        assert evaluation.ten_crop["probability"][image] == pytest.approx(found[1].max().item(), rel=0.05)


def _printed(capsys: pytest.CaptureFixture[str], file: Path, *options: str) -> Tensor:
    """The probabilities that predict prints, in the order of the labels."""
    assert ask("predict", "--json", "--top", "10", "--model", file.with_name("model.safetensors"), file, *options) == 0
    top = json.loads(capsys.readouterr().out)["top"]
    return torch.tensor([guess["probability"] for guess in sorted(top, key=lambda guess: int(guess["class"]))])


def decoded(file: Path) -> np.ndarray:
    from PIL import Image

    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"), dtype=np.float64)
