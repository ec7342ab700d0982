"""What the report reads: card, curves, errors, kernels, eigenbasis, images and their predictions."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, TypeAdapter
from safetensors import SafetensorError
from safetensors.numpy import load

from alexnet.errors import UserError
from alexnet.files.card import Card
from alexnet.files.eigenbasis import Eigenbasis
from alexnet.files.whole import read_array, read_json
from alexnet.names import printable

Entry = TypeVar("Entry")
Shown = TypeVar("Shown", bound="Picture")
Name = Annotated[str, AfterValidator(printable)]
"""Of a class, as it can be shown."""
Share = Annotated[float, BeforeValidator(lambda text: text or "nan")]
"""A fraction of 1; NaN if the cell is empty."""


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


class Picture(BaseModel):
    """An image and its class."""

    jpeg: bytes
    actual: Name
    row: int
    """Of the manifest."""


class Sample(Picture):
    """A test image and its most probable classes, in order."""

    rank_of_actual: int
    """1 if its class came first."""
    top: list[Guess]


class Nearest(BaseModel):
    """For each sample, the training images with the nearest activations."""

    layer: str
    """The layer whose activations are compared."""
    images: int
    """Training images that were searched."""
    of: int
    """All training images."""
    samples: list[list[Picture]]
    """The nearest first."""


class Layer(BaseModel):
    """A layer with weights."""

    name: str
    parameters: int
    macs: int
    """Multiply-accumulates of one image's forward pass."""
    input_values: int
    """Input values for one image."""
    output: list[int]
    """Output shape for one image: maps, height and width, or units."""


@dataclass(frozen=True)
class ReportInputs:
    """Everything that the report shows, with printable class names."""

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
    samples: list[Sample]
    nearest: Nearest
    mistakes: list[Sample]
    """Misclassified test images, the most confident first."""
    layers: list[Layer]
    """In order."""
    maps: dict[str, NDArray[np.float32]]
    """The first sample's activations after each convolution, by its name: (maps, height, width)."""


def read_inputs(card: Path, curves: Path, metrics: Path, eigenbasis: Path, mean: Path, evaluation: Path) -> ReportInputs:
    """Read the files that pca, train and evaluate leave; ``evaluation`` is a folder.

    Raises ``UserError`` if a file is missing or damaged.
    """
    read_card, layers = Card.read(card), _read_layers(evaluation / "layers.json")
    return ReportInputs(
        card=read_card.model_copy(update={"classes": [printable(name) for name in read_card.classes]}),
        metrics=read_json(metrics),
        eigenbasis=Eigenbasis.read(eigenbasis),
        curves=_read_curves(curves),
        mean=read_array(mean),
        kernels=read_array(evaluation / "kernels.npy"),
        confusion=_read_confusion(evaluation / "confusion.csv"),
        per_class=_read_rows(evaluation / "per_class.csv", ClassErrors),
        samples=_read_pictures(evaluation / "samples.json", Sample),
        nearest=_read_nearest(evaluation / "nearest.json"),
        mistakes=_read_pictures(evaluation / "mistakes.json", Sample),
        layers=layers,
        maps=_read_maps(evaluation / "maps.safetensors", [layer.name for layer in layers]),
    )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong in reading ``path`` into a ``UserError``."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing; run `dvc repro` to make it") from None
    except (ValueError, KeyError, TypeError, EOFError, SafetensorError) as error:
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


def _read_confusion(path: Path) -> NDArray[np.int64]:
    with _reading(path), path.open(encoding="utf-8", newline="") as file:
        counts = np.array([row[1:] for row in list(csv.reader(file))[1:]], dtype=np.int64)
        if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
            raise ValueError("it is not square")
        return counts


def _read_layers(path: Path) -> list[Layer]:
    with _reading(path):
        return TypeAdapter(list[Layer]).validate_python(read_json(path))


def _read_maps(path: Path, order: list[str]) -> dict[str, NDArray[np.float32]]:
    with _reading(path):
        maps = load(path.read_bytes())
        return {name: maps[name] for name in sorted(maps, key=order.index)}


def _read_pictures(path: Path, kind: type[Shown]) -> list[Shown]:
    with _reading(path):
        return [_picture(path, entry, kind) for entry in read_json(path)]


def _read_nearest(path: Path) -> Nearest:
    with _reading(path):
        content = read_json(path)
        found = [[_picture(path, entry, Picture) for entry in sample["nearest"]] for sample in content["samples"]]
        return Nearest.model_validate(content | {"samples": found})


def _picture(beside: Path, entry: dict[str, Any], kind: type[Shown]) -> Shown:
    return kind.model_validate(entry | {"jpeg": beside.with_name(entry["file"]).read_bytes()})
