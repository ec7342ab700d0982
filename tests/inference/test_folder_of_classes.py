"""``evaluate`` and ``ensemble`` count as plain torch, pandas and scikit-learn do."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.asked import CLASSES, Asked, save_model
from helpers.asking import ask
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import confusion_matrix, log_loss, top_k_accuracy_score

from alexnet.files.card import Card
from alexnet.models.saved import load_model


@torch.no_grad()
def plain(model: Path, images: list[Path]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probabilities of the centre crop, and the mean of ten."""
    net, _ = load_model(model, Card.read(model.with_suffix(".json")))
    pixels = np.stack([np.asarray(Image.open(image), np.float32) for image in images])
    whole = torch.from_numpy((pixels - 100) / 60).permute(0, 3, 1, 2)
    places = [(2, 2), (0, 0), (0, 4), (4, 0), (4, 4)]
    views = [side[..., y : y + 28, x : x + 28] for side in (whole, whole.flip(-1)) for y, x in places]
    likely = np.stack([net(view.contiguous()).softmax(1).numpy().astype(float) for view in views])
    return likely[0], likely.mean(0)


def errors(labels: list[int], likely: NDArray[np.float64]) -> dict[str, float]:
    known = {"labels": range(10)}
    return {
        "top1_error": 1 - top_k_accuracy_score(labels, likely, k=1, **known),
        "top5_error": 1 - top_k_accuracy_score(labels, likely, k=5, **known),
        "loss": log_loss(labels, likely / likely.sum(1, keepdims=True), **known),
    }


def test_a_model_and_an_ensemble_have_the_errors_of_scikit_learn(
    asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.safetensors"
    save_model(other, seed=1)
    first, second = plain(asked.model, asked.images), plain(other, asked.images)
    assert len(set(first[1].argmax(1))) > 1 and (first[1].argmax(1) != second[1].argmax(1)).any()
    average = [(one + two) / 2 for one, two in zip(first, second, strict=True)]
    for command, expected in (
        (("evaluate", asked.folder, "--model", asked.model), first),
        (("ensemble", asked.model, other, asked.folder), average),
    ):
        assert ask(*command, "-o", tmp_path / "out") == 2
        printed = capsys.readouterr()
        broken = f"error: {asked.folder}/dog/broken.png cannot be read as an image (truncated); choose another file\n"
        assert printed.err == f"left out in {asked.folder}: 1 .txt\n{broken}"
        measured = json.loads((tmp_path / "out/metrics.json").read_text())
        assert (measured["images"], measured["classes"]) == (75, 10)
        for crops, likely in zip(("center", "ten_crop"), expected, strict=True):
            assert measured[crops] == pytest.approx(errors(asked.labels, likely), rel=1e-4)
        confusion = pd.read_csv(tmp_path / "out/confusion.csv", index_col="actual")
        assert list(confusion) == list(confusion.index) == CLASSES
        np.testing.assert_array_equal(confusion, confusion_matrix(asked.labels, expected[1].argmax(1), labels=range(10)))
        predictions = pd.read_csv(tmp_path / "out/predictions.csv", dtype=str)
        assert [asked.folder / file for file in predictions["file"]] == asked.images
        assert predictions["predicted"].tolist() == [CLASSES[label] for label in expected[1].argmax(1)]
        per_class = pd.read_csv(tmp_path / "out/per_class.csv", index_col="class")
        wrong = pd.Series(expected[1].argmax(1) != asked.labels).groupby(asked.labels).mean()
        assert per_class["top1_error"][:3].tolist() == pytest.approx(wrong.tolist())
        assert f"{measured['ten_crop']['top1_error']:.2%}" in printed.out and "75 images of 3 of 10 classes" in printed.out
        assert [line.split()[0] for line in printed.out.splitlines()[-3:]] == CLASSES[:3]


def test_what_does_not_belong_together_is_refused(asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refusal(*arguments: object) -> str:
        assert ask(*arguments) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    save_model(tmp_path / "birds.safetensors", seed=0, names=["owl", *CLASSES[1:]])
    said = refusal("ensemble", asked.model, tmp_path / "birds.safetensors", asked.folder)
    assert "has other classes than" in said and "(owl in place of cat)" in said
    assert "one model is no ensemble" in refusal("ensemble", asked.model, asked.folder)
    for name, remedy in (("dogs", "did you mean dog?"), ("zzz", "it has cat, dog, käse, 3, 4, …"), ("test", "choose ")):
        (tmp_path / name / name).mkdir(parents=True)
        assert remedy in refusal("evaluate", tmp_path / name, "--model", asked.model)
    assert f"did you mean {tmp_path / 'dogs'}?" in refusal("evaluate", tmp_path / "dgos", "--model", asked.model)


def test_wordnet_ids_are_the_classes_in_their_order(asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for label in range(10):
        folder = tmp_path / f"n{label:08}"
        folder.mkdir()
        (folder / "image.png").write_bytes(asked.images[label].read_bytes())
    assert ask("evaluate", tmp_path, "--model", asked.model) == 0
    assert "10 images of 10 of 10 classes" in capsys.readouterr().out
