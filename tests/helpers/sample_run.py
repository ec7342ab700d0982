"""The files that a run leaves, made in a second: real digits and photographs, a logistic regression's real predictions."""

import csv
import math
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from helpers.nets import meta_net, settings_of
from helpers.sample_images import Pictures, Predicted, dump, photos
from numpy.typing import NDArray
from safetensors.numpy import save_file
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from alexnet.config.nets import NETS
from alexnet.config.training import Training
from alexnet.files.card import FORMAT
from alexnet.input.colors import scale_of
from alexnet.models.costs import costs
from alexnet.models.network import Network, dry_run
from alexnet.train.fingerprint import numeric_settings


def long_name(label: int) -> str:
    """Of a class, with characters that pages must escape."""
    return f"n{label:08d} long-named, common | class <{label}>"


def write_run(root: Path, model: str = "alexnet", classes: int = 10, name: Callable[[int], str] = str, **changes: Any) -> None:
    """Write all inputs of the report under ``root``, in the places that ``stages.paths`` names.

    The settings are those of the net's recipe, or params.yaml's, on digits for 12 epochs, with ``changes`` by dotted keys.
    ``name`` of each label is its class.
    """
    settings = settings_of(NETS[model].recipe, **{"data.source": "digits", "epochs": 12, "color_noise": 0.1} | changes)
    size, epochs = settings["preprocess"]["size"], settings["epochs"]
    rng = np.random.default_rng(0)
    evaluation = root / "data/evaluation"
    for folder in (evaluation, root / "models", root / "reports"):
        folder.mkdir(parents=True, exist_ok=True)
    names = [name(label) for label in range(classes)]
    predicted = Predicted(names, *(_digits() if classes == 10 else _crowd(classes, rng)))
    basis = _write_colors(root, size)
    _write_tables(evaluation, predicted)
    Pictures(evaluation, predicted, rng, settings["preprocess"]).write()
    layers = _layers(model, classes, settings["crop_size"])
    dump(evaluation / "layers.json", layers)
    save_file(_maps(layers, rng), evaluation / "maps.safetensors")
    count, _, side, _ = meta_net(model).get_parameter("conv1.weight").shape
    np.save(evaluation / "kernels.npy", _kernels(rng, count, side))
    errors = {"center": _errors(predicted.actual, predicted.center), "ten_crop": _errors(predicted.actual, predicted.average)}
    dump(root / "reports/metrics.json", errors | {"images": len(predicted.actual), "classes": classes})
    _write_curves(root / "reports/train.csv", settings, rng)
    card = {
        "format": FORMAT,
        "net": model,
        "classes": names,
        "size": size,
        "crop_size": settings["crop_size"],
        "crop_padding": settings["crop_padding"],
        "scale": scale_of(np.array(basis["covariance"]), settings["scale"]),
        "flip": settings["data"]["source"] != "digits" if settings["flip"] is None else settings["flip"],
        "eigenbasis": basis,
        "settings": numeric_settings(Training.read(settings)) | {"init_from": settings["init_from"]},
        "data": {
            "source": settings["data"]["source"],
            "images": {"train": 2588, "val": 143, "test": len(predicted.actual)},
            "rejects": 2,
            "sha256": {split: f"{index:x}7fb3c19ad04e825" * 4 for index, split in enumerate(("train", "val", "test"))},
        },
        "epoch": epochs,
        "epochs": epochs,
        "parameters": 56_868_224 + 4097 * classes,
        "sha256": "0f4c8a1b2d3e5f67" * 4,
    }
    dump(root / "models/alexnet.json", card)


@cache
def _digits() -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    digits = load_digits()
    train, test = slice(0, 1437), slice(1437, None)
    models = [LogisticRegression(C=c).fit((digits.data / 16)[train], digits.target[train]) for c in (0.003, 0.03)]
    center, average = (model.predict_proba((digits.data / 16)[test]) for model in models)
    return digits.target[test], center, average, digits.images[test]


def _crowd(classes: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Scores of an imagined net with neighbouring labels alike; every class has images."""
    actual = np.repeat(np.arange(classes), 3)
    near = -0.02 * np.abs(actual[:, None] - np.arange(classes)[None]) ** 1.5
    scores = near + rng.normal(0, 1.2, (len(actual), classes)) + 4 * np.eye(classes)[actual]
    center = scores + rng.normal(0, 0.4, scores.shape)
    soft = [np.exp(s - s.max(1, keepdims=True)) for s in (center, scores)]
    return actual, *(s / s.sum(1, keepdims=True) for s in soft), rng.uniform(0, 16, (8, 8, 8))


def _errors(actual: NDArray[Any], probabilities: NDArray[Any]) -> dict[str, float]:
    of_actual = probabilities[np.arange(len(actual)), actual]
    rank = (probabilities > of_actual[:, None]).sum(1)
    return {
        "top1_error": float((rank > 0).mean()),
        "top5_error": float((rank > 4).mean()),
        "loss": float(-np.log(of_actual).mean()),
    }


def _write_tables(folder: Path, predicted: Predicted) -> None:
    names, actual, center, average = predicted.names, predicted.actual, predicted.center, predicted.average
    first = average.argmax(1)
    confusion = np.zeros((len(names), len(names)), int)
    np.add.at(confusion, (actual, first), 1)
    _table(
        folder / "confusion.csv", ["actual", *names], [[name, *row] for name, row in zip(names, confusion.tolist(), strict=True)]
    )
    per_class = []
    for label, name in enumerate(names):
        of_class = actual == label
        whole, middle = (_errors(actual[of_class], p[of_class]) for p in (average, center))
        per_class.append([name, of_class.sum(), middle["top1_error"], whole["top1_error"], whole["top5_error"]])
    _table(folder / "per_class.csv", ["class", "images", "center_top1_error", "top1_error", "top5_error"], per_class)


@cache
def _layers(model: str, classes: int, crop_size: int) -> list[dict[str, Any]]:
    """The layers with weights, from shapes alone."""
    net = meta_net(model, classes, crop_size=crop_size)
    cost, values, layers = costs(net, crop_size), torch.empty(1, 3, crop_size, crop_size, device="meta"), []
    for name, layer in net.named_children():
        entering, values = values.numel(), dry_run(Network([(name, layer)]), values)
        if name in cost:
            layers.append({"name": name, **asdict(cost[name]), "input_values": entering, "output": list(values.shape[1:])})
    return layers


def _maps(layers: list[dict[str, Any]], rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    shapes = {layer["name"]: layer["output"] for layer in layers if len(layer["output"]) == 3}
    return {name: np.maximum(rng.normal(size=shape), 0).astype(np.float32) for name, shape in shapes.items()}


def _write_colors(root: Path, size: int) -> dict[str, Any]:
    pixels = np.concatenate([photo.reshape(-1, 3) for photo in photos()]).astype(float)
    covariance = np.cov(pixels.T, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    basis = {
        "images": 2588,
        "mean": pixels.mean(0).tolist(),
        "covariance": covariance.tolist(),
        "eigenvalues": values[::-1].tolist(),
        "eigenvectors": vectors[:, ::-1].tolist(),
        "order": "RGB",
    }
    dump(root / "data/eigenbasis.json", basis)
    mean = np.stack([photo[:size, :size] for photo in photos()]).mean(0).transpose(2, 0, 1)
    np.save(root / "data/mean.npy", mean.astype(np.float32))
    return basis


def _kernels(rng: np.random.Generator, count: int, side: int) -> NDArray[np.float32]:
    corners = rng.integers(0, [400, 600], (count, 2))
    cuts = [photos()[i % 2][y : y + side, x : x + side] for i, (y, x) in enumerate(corners)]
    patches = np.stack(cuts).transpose(0, 3, 1, 2) / 255
    kernels: NDArray[np.float32] = (0.2 * (patches - patches.mean(axis=(1, 2, 3), keepdims=True))).astype(np.float32)
    return kernels


def _write_curves(path: Path, settings: dict[str, Any], rng: np.random.Generator) -> None:
    header = ["epoch", "lr", "train_loss", "train_top1_error", "val_loss", "val_top1_error", "val_top5_error"]
    rows = []
    epochs = settings["epochs"]
    for epoch in range(1, epochs + 1):
        error = 0.85 * 0.72**epoch + 0.02 + 0.01 * rng.random()
        rate = 0.01 if epoch <= 0.6 * epochs else 0.001 if epoch <= 0.85 * epochs else 0.0001
        if settings["lr_schedule"] == "cosine":
            rate = 0.005 * (1 + math.cos(math.pi * (epoch - 1) / epochs))
        rows.append([epoch, rate, 2.6 * error + 0.1, 1.1 * error, 2.2 * error, error, error / 6])
    _table(path, header, rows)


def _table(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
