"""One image from its file is given the probabilities that the test gives it, whatever its scale, padding and mean."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.nets import net_of, settings_of

from alexnet.input.shards import Shards
from alexnet.evaluate import results
from alexnet.evaluate.predictions import prepared, probabilities
from alexnet.files.card import Card

CPU = torch.device("cpu")


@pytest.mark.parametrize(("scale", "padding"), [([1.0, 1.0, 1.0], 0), ([50.0, 60.0, 70.0], 4)])
def test_predict_and_the_test_agree_with_the_formula(tiny: Path, scale: list[float], padding: int) -> None:
    """Softmax of the net over (pixels - mean) / scale, zeros around, the mean over crops."""
    shards = Shards(tiny / "data/shards", "test")
    net = net_of("alexnet-32", crop_size=28, crop_padding=padding).eval()
    card = Card.model_validate(
        {
            "net": "alexnet-32", "classes": [str(label) for label in range(10)], "size": 32, "crop_size": 28, "flip": False,
            "crop_padding": padding, "scale": scale, "data": {}, "epoch": 1, "epochs": 1, "parameters": 1, "sha256": "",
            "settings": settings_of("cifar10-32", precision="float32"),
            "eigenbasis": {"images": 1, "mean": [], "covariance": [], "eigenvalues": [], "eigenvectors": [], "order": "RGB"},
        }
    )  # fmt: skip
    mean = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0)) * 200
    tested = results.test(net, mean, shards, card, CPU, cores=1)
    file = tiny / "image.jpg"
    for image in range(3):
        file.write_bytes(shards.jpeg(image))
        square = prepared(file, card, mean)
        found = probabilities(net, square, card)
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
        assert tested.ten_crop["probability"][image] == pytest.approx(likely, rel=0.05)


def decoded(file: Path) -> np.ndarray:
    from PIL import Image

    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"), dtype=np.float64)
