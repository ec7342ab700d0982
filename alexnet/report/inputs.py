"""What the report reads: card, curves, errors, predictions, kernels, eigenbasis."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet.errors import UserError
from alexnet.files.card import Card, read_card
from alexnet.files.eigenbasis import Eigenbasis, read_eigenbasis
from alexnet.files.whole import read_json
from alexnet.names import printable


@dataclass(frozen=True)
class Prediction:
    """One test image: its manifest row, true class, and what the net made of its crops."""

    row: int
    actual: str
    predicted: str
    rank_of_actual: int
    """1 where the true class came first."""
    probability: float
    """Of the predicted class."""


@dataclass(frozen=True)
class ClassErrors:
    """The test errors of one class, as fractions of 1; NaN where it has no test image."""

    name: str
    images: int
    center_top1_error: float
    top1_error: float
    top5_error: float


@dataclass(frozen=True)
class Sample:
    """A test image (a JPEG's bytes) and its most probable classes, the first one first."""

    jpeg: bytes
    actual: str
    top: list[tuple[str, float]]


@dataclass(frozen=True)
class ReportInputs:
    """All that the report shows; classes have their printable names."""

    card: Card
    metrics: dict[str, Any]
    eigenbasis: Eigenbasis
    curves: dict[str, list[float]]
    """A column of train.csv each: ``epoch``, ``lr``, ``train_loss``, …"""
    mean: NDArray[np.float32]
    """(3, size, size), RGB, 0..255."""
    kernels: NDArray[np.float32]
    """(kernels, 3, side, side), RGB."""
    confusion: NDArray[np.int64]
    """(classes, classes): images of the row's class that were taken for the column's."""
    per_class: list[ClassErrors]
    predictions: list[Prediction]
    samples: list[Sample]


def read_inputs(card: Path, curves: Path, metrics: Path, eigenbasis: Path, mean: Path, evaluation: Path) -> ReportInputs:
    """Read the files that pca, train and evaluate leave; ``evaluation`` is a folder.

    Raises ``UserError`` if a file is missing or damaged.
    """
    return ReportInputs(
        card=_read_card(card),
        metrics=read_json(metrics),
        eigenbasis=read_eigenbasis(eigenbasis),
        curves=_read_curves(curves),
        mean=_read_array(mean),
        kernels=_read_array(evaluation / "kernels.npy"),
        confusion=_read_confusion(evaluation / "confusion.csv"),
        per_class=_read_per_class(evaluation / "per_class.csv"),
        predictions=_read_predictions(evaluation / "predictions.csv"),
        samples=_read_samples(evaluation / "samples.json"),
    )


def _read_card(path: Path) -> Card:
    card = read_card(path)
    return card.model_copy(update={"classes": [printable(name) for name in card.classes]})


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong in reading ``path`` into a ``UserError``."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run `dvc repro` to make it") from None
    except (ValueError, KeyError, TypeError, EOFError) as error:
        raise UserError(f"{path} is damaged ({error}); run `dvc repro` to make it again") from None


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _read_curves(path: Path) -> dict[str, list[float]]:
    with _reading(path):
        rows = _rows(path)
        if not rows:
            raise ValueError("it has no epoch")
        return {column: [float(row[column]) for row in rows] for column in rows[0]}


def _read_array(path: Path) -> NDArray[np.float32]:
    with _reading(path):
        array: NDArray[np.float32] = np.load(path)
        return array


def _read_confusion(path: Path) -> NDArray[np.int64]:
    with _reading(path), path.open(encoding="utf-8", newline="") as file:
        counts = np.array([row[1:] for row in list(csv.reader(file))[1:]], dtype=np.int64)
        if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
            raise ValueError("it is not square")
        return counts


def _read_per_class(path: Path) -> list[ClassErrors]:
    with _reading(path):
        return [
            ClassErrors(
                name=printable(row["class"]),
                images=int(row["images"]),
                center_top1_error=float(row["center_top1_error"] or "nan"),
                top1_error=float(row["top1_error"] or "nan"),
                top5_error=float(row["top5_error"] or "nan"),
            )
            for row in _rows(path)
        ]


def _read_predictions(path: Path) -> list[Prediction]:
    with _reading(path):
        return [
            Prediction(
                row=int(row["row"]),
                actual=printable(row["actual"]),
                predicted=printable(row["predicted"]),
                rank_of_actual=int(row["rank_of_actual"]),
                probability=float(row["probability"]),
            )
            for row in _rows(path)
        ]


def _read_samples(path: Path) -> list[Sample]:
    described = read_json(path)
    with _reading(path):
        wanted = [
            (
                path.with_name(entry["file"]),
                printable(entry["actual"]),
                [(printable(guess["class"]), float(guess["probability"])) for guess in entry["top"]],
            )
            for entry in described
        ]
    samples = []
    for file, actual, top in wanted:
        with _reading(file):
            samples.append(Sample(file.read_bytes(), actual, top))
    return samples
