"""One image from its file is given the probabilities that the test gives it, whatever its scale, padding and mean."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.cards import card_of
from helpers.nets import net_of

from alexnet.commands.predict import print_predictions
from alexnet.evaluate import predictions
from alexnet.evaluate.evaluation import Runner, evaluate
from alexnet.evaluate.predictions import Probabilities
from alexnet.input.shards import Shards
from alexnet.models.saved import load_model, save_weights


@pytest.mark.parametrize(("scale", "padding"), [([1.0, 1.0, 1.0], 0), ([50.0, 60.0, 70.0], 4)])
def test_predict_and_the_evaluation_agree_with_the_formula(
    tiny: Path,
    tmp_path: Path,
    scale: list[float],
    padding: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Softmax of the net over (pixels - mean) / scale, zeros around, the mean over crops."""
    shards, threads = Shards(tiny / "data/shards", "test"), torch.get_num_threads()
    mean = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0)) * 200
    weights = dict(net_of("alexnet-32", crop_size=28, crop_padding=padding).named_parameters())
    sha256 = save_weights(tmp_path / "model.safetensors", {name: value.detach() for name, value in weights.items()}, mean)
    card = card_of(size=32, crop_size=28, crop_padding=padding, scale=scale, flip=False, sha256=sha256)
    card.write(tmp_path / "model.json")
    net, mean = load_model(tmp_path / "model.safetensors", card)
    evaluation = evaluate(net, shards, Runner(mean, card, torch.device("cpu"), cores=1))
    predicted: list[Probabilities] = []

    def recorded(*arguments: Any) -> Probabilities:
        predicted.append(probabilities(*arguments))
        return predicted[-1]

    probabilities = predictions.probabilities
    monkeypatch.setattr(predictions, "probabilities", recorded)
    for image in range(3):
        file = tmp_path / f"{image}.jpg"
        file.write_bytes(shards.jpeg(image))
        assert print_predictions([file], tmp_path / "model.safetensors", ten_crop=True) == 0
        found = predicted[-1]
        pixels = decoded(file)
        centred = (pixels.transpose(2, 0, 1) - mean.numpy()) / np.array(scale)[:, None, None]
        whole = np.pad(centred, [(0, 0), (padding, padding), (padding, padding)])
        last = whole.shape[1] - 28
        places = [(last // 2, last // 2), (0, 0), (0, last), (last, 0), (last, last)]
        crops = [whole[:, y : y + 28, x : x + 28] for y, x in places]
        expected = net(torch.from_numpy(np.stack(crops)).float()).softmax(1).detach()
        torch.testing.assert_close(found.center[0], expected[0], rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(found.ten_crop[0], expected.mean(0), rtol=1e-3, atol=1e-5)
        # Two decoders of JPEG may differ by a grey level or two.
        likely = found.ten_crop[0].max().item()
        assert evaluation.ten_crop["probability"][image] == pytest.approx(likely, rel=0.05)
        assert capsys.readouterr().out.splitlines()[1].split() == [f"{likely:.1%}", str(found.ten_crop[0].argmax().item())]
    torch.set_num_threads(threads)


def decoded(file: Path) -> np.ndarray:
    from PIL import Image

    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"), dtype=np.float64)
