"""What the report reads: card, curves, errors, predictions, kernels, eigenbasis."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, TypeAdapter

from alexnet.errors import UserError
from alexnet.files.card import Card
from alexnet.files.eigenbasis import Eigenbasis
from alexnet.files.whole import read_json
from alexnet.names import printable

Entry = TypeVar("Entry")
Name = Annotated[str, AfterValidator(printable)]
"""Of a class, as it can be shown."""
Share = Annotated[float, BeforeValidator(lambda text: text or "nan")]
"""A fraction of 1; NaN if the cell is empty."""


class Prediction(BaseModel):
    """One test image: its manifest row, true class, and what the net made of its crops."""

    row: int
    actual: Name
    predicted: Name
    rank_of_actual: int
    """1 if the true class came first."""
    probability: float
    """Of the predicted class."""


class ClassErrors(BaseModel):
    """The test errors of one class; NaN if it has no test image."""

    name: Name = Field(alias="class")
    images: int
    center_top1_error: Share
    top1_error: Share
    top5_error: Share


class Guess(BaseModel):
    """A class and its probability."""

    name: Name = Field(alias="class")
    probability: float


class Sample(BaseModel):
    """A test image and its most probable classes, the first one first."""

    jpeg: bytes
    actual: Name
    top: list[Guess]


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
    read_card = Card.read(card)
    return ReportInputs(
        card=read_card.model_copy(update={"classes": [printable(name) for name in read_card.classes]}),
        metrics=read_json(metrics),
        eigenbasis=Eigenbasis.read(eigenbasis),
        curves=_read_curves(curves),
        mean=_read_array(mean),
        kernels=_read_array(evaluation / "kernels.npy"),
        confusion=_read_confusion(evaluation / "confusion.csv"),
        per_class=_read_rows(evaluation / "per_class.csv", ClassErrors),
        predictions=_read_rows(evaluation / "predictions.csv", Prediction),
        samples=_read_samples(evaluation / "samples.json"),
    )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong in reading ``path`` into a ``UserError``."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing; run `dvc repro` to make it") from None
    except (ValueError, KeyError, TypeError, EOFError) as error:
        why = str(error).splitlines()[0]
        raise UserError(f"{path} is damaged ({why}); run `dvc repro` to make it again") from None


def _read_rows(path: Path, kind: type[Entry]) -> list[Entry]:
    with _reading(path), path.open(encoding="utf-8", newline="") as file:
        return TypeAdapter(list[kind]).validate_python(list(csv.DictReader(file)))  # type: ignore[valid-type]


def _read_curves(path: Path) -> dict[str, list[float]]:
    with _reading(path):
        rows = _read_rows(path, dict[str, float])
        if not rows:
            raise ValueError("it has no epoch")
        return {column: [row[column] for row in rows] for column in rows[0]}


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


def _read_samples(path: Path) -> list[Sample]:
    described = read_json(path)
    with _reading(path):
        return [Sample(**entry, jpeg=path.with_name(entry["file"]).read_bytes()) for entry in described]
