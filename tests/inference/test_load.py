"""``alexnet.load``: a model of ours or torchvision's own answers for paths, Pillow's images and arrays."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.asked import Asked
from helpers.asking import ask
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision.models import AlexNet_Weights  # type: ignore[import-untyped]
from torchvision.models import alexnet as torchvision_alexnet

import alexnet
from alexnet.errors import UserError


def test_importing_the_package_loads_no_torch() -> None:
    script = "import sys, alexnet, alexnet.__main__; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], check=False).returncode == 0


def test_an_image_is_the_same_in_every_form(asked: Asked) -> None:
    model = alexnet.load(asked.model)
    path = asked.images[0]
    picture = Image.open(path)
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # stored pixels are to be turned by 270 degrees
    picture.transpose(Image.Transpose.ROTATE_90).save(turned, "PNG", exif=exif)
    forms: list[Any] = [path, str(path), path.read_bytes(), picture, np.asarray(picture), Image.open(turned)]
    first, *others = (model.predict(form, top=10) for form in forms)
    assert len(others) == 5 and all(other == first for other in others)
    (alone,) = first
    assert sum(guess.probability for guess in alone) == pytest.approx(1, rel=1e-5)
    for guesses in model.predict(forms, top=10):  # on some processors the last digits depend on the place in the batch
        assert [guess.name for guess in guesses] == [guess.name for guess in alone]
        expected = [guess.probability for guess in alone]
        assert [guess.probability for guess in guesses] == pytest.approx(expected, rel=1e-5)


def test_what_is_no_image_is_refused_by_name(asked: Asked, tmp_path: Path) -> None:
    model = alexnet.load(asked.model)
    (tmp_path / "text.jpg").write_text("text")
    for image, message in (
        (tmp_path / "text.jpg", r"text\.jpg cannot be read as an image \(not a JPEG"),
        (np.zeros((4, 4)), r"image 0 cannot be read as an image \(an array of float64 \(4, 4\)"),
    ):
        with pytest.raises(UserError, match=message):
            model.predict(image)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="there is no layer fc77; did you mean fc7"):
        model.features(asked.images, "fc77")


def test_torchvisions_weights_answer_as_in_torchvision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its own pixels, outputs and names of classes, from a file of its layout with random weights."""
    torch.manual_seed(0)
    theirs = torchvision_alexnet(weights=None).eval()
    with torch.no_grad():
        theirs.classifier[6].weight *= 50  # else all classes are about equally probable
    torch.save(theirs.state_dict(), tmp_path / "alexnet-owt-7be5be79.pth")
    photos = [Image.fromarray(photo) for photo in load_sample_images().images]
    published = AlexNet_Weights.IMAGENET1K_V1
    with torch.no_grad():
        expected = theirs(torch.stack([published.transforms()(photo) for photo in photos])).softmax(1)
    found = alexnet.load(tmp_path / "alexnet-owt-7be5be79.pth").predict(photos, top=3)
    for guesses, row in zip(found, expected, strict=True):
        values, labels = row.topk(3)
        assert [guess.name for guess in guesses] == [published.meta["categories"][label] for label in labels]
        assert [guess.probability for guess in guesses] == pytest.approx(values.tolist(), rel=1e-4)

    for state, why in (
        (torchvision_alexnet(num_classes=12).state_dict(), "does not hold torchvision's alexnet of 1,000 classes"),
        ({"layer1.weight": torch.zeros(1)}, "holds no known weights"),
    ):
        torch.save(state, tmp_path / "other.pth")
        assert ask("predict", "--model", tmp_path / "other.pth", "-") == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: --model: {tmp_path / 'other.pth'} {why}") and error.count("\n") == 1
