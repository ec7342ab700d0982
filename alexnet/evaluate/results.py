"""The results of an evaluation: errors, tables, and the files that the report reads."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from alexnet.evaluate.evaluation import Evaluation
from alexnet.files.card import Card
from alexnet.files.whole import whole_file, write_bytes, write_json
from alexnet.input.shards import Shards
from alexnet.models.network import Network

SAMPLES = 8
"""Test images shown with their first guesses, as in the paper's figure 4."""
MISTAKES = 8
"""Wrong ones shown the same way."""


def metrics(evaluation: Evaluation, classes: int) -> dict[str, Any]:
    """Errors as fractions of 1 and the mean loss, of the centre crop and of the ten crops."""

    def errors(scores: pd.DataFrame) -> dict[str, float]:
        top1, top5, loss = (scores["rank"] > 1).mean(), (scores["rank"] > 5).mean(), scores["loss"].mean()
        return {"top1_error": float(top1), "top5_error": float(top5), "loss": float(loss)}

    return {
        "center": errors(evaluation.center),
        "ten_crop": errors(evaluation.ten_crop),
        "images": len(evaluation.actual),
        "classes": classes,
    }


def write(folder: Path, evaluation: Evaluation, net: Network, shards: Shards, card: Card) -> None:
    """Write the predictions, the tables by class, the first layer's kernels, samples and mistakes into ``folder``."""
    write_tables(folder, evaluation, card.classes, {"row": shards.rows})
    kernels = dict(net.named_parameters())["conv1.weight"].detach().cpu().numpy()
    with whole_file(folder / "kernels.npy") as file:
        np.save(file, np.ascontiguousarray(kernels))
    for kind, images in (("sample", spread(len(shards), SAMPLES)), ("mistake", surest_mistakes(evaluation))):
        _write_guesses(folder / kind, images, evaluation, shards, np.array(card.classes))


def write_tables(folder: Path, evaluation: Evaluation, classes: list[str], images: dict[str, Any]) -> None:
    """Write ``predictions.csv``, ``per_class.csv`` and ``confusion.csv``. ``images``: the column that names the images."""
    names, ten = np.array(classes), evaluation.ten_crop
    predictions = pd.DataFrame(
        images
        | {
            "actual": names[evaluation.actual],
            "predicted": names[ten["predicted"]],
            "center_predicted": names[evaluation.center["predicted"]],
            "rank_of_actual": ten["rank"],
            "probability": ten["probability"],
        }
    )
    table = pd.DataFrame(confusion(evaluation, len(names)), index=pd.Index(names, name="actual"), columns=names)
    tables = {
        "predictions.csv": predictions.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC),
        "per_class.csv": per_class(evaluation, classes).to_csv(index_label="class", quoting=csv.QUOTE_NONNUMERIC),
        "confusion.csv": table.to_csv(quoting=csv.QUOTE_NONNUMERIC),
    }
    for name, text in tables.items():
        write_bytes(folder / name, text.encode("utf-8", "surrogateescape"))  # names of files need not be UTF-8


def per_class(evaluation: Evaluation, classes: list[str]) -> pd.DataFrame:
    """A row for each class, by its name: ``images``, and errors as fractions of 1, NaN if there are no images."""
    ten = evaluation.ten_crop
    by_class = pd.DataFrame(
        {
            "class": np.array(classes)[evaluation.actual],
            "center_top1_error": evaluation.center["rank"] > 1,
            "top1_error": ten["rank"] > 1,
            "top5_error": ten["rank"] > 5,
        }
    ).groupby("class", sort=False)
    table = by_class.mean().reindex(classes)
    table.insert(0, "images", by_class.size().reindex(classes, fill_value=0))
    return table


def confusion(evaluation: Evaluation, classes: int) -> NDArray[np.int64]:
    """(classes, classes): how many images of the row's class the ten crops take for the column's."""
    matrix: NDArray[np.int64] = confusion_matrix(evaluation.actual, evaluation.ten_crop["predicted"], labels=range(classes))
    return matrix


def spread(images: int, most: int) -> NDArray[np.int64]:
    """The numbers of at most ``most`` of ``images`` images, evenly spread, the first and the last among them."""
    return np.linspace(0, images - 1, min(most, images)).round().astype(np.int64)


def surest_mistakes(evaluation: Evaluation) -> NDArray[np.int64]:
    """The wrong images of whose class the ten crops were most certain, the surest first; ties in the images' order."""
    wrong = np.flatnonzero(evaluation.ten_crop["rank"] > 1)
    order = np.argsort(-evaluation.ten_crop["probability"].to_numpy()[wrong], kind="stable")
    return wrong[order[:MISTAKES]]


def _write_guesses(path: Path, images: NDArray[np.int64], evaluation: Evaluation, shards: Shards, names: np.ndarray) -> None:
    """Write the images as ``PATH-N.jpg``, and ``PATHs.json``, which says what they are and what the net took them for."""
    described = []
    for number, image in enumerate(images.tolist()):
        file = f"{path.name}-{number}.jpg"
        write_bytes(path.with_name(file), bytes(shards.jpeg(image)))
        guesses = zip(evaluation.top[image], evaluation.top_probability[image], strict=True)
        described.append(
            {
                "file": file,
                "actual": str(names[evaluation.actual[image]]),
                "row": int(shards.rows[image]),
                "rank_of_actual": int(evaluation.ten_crop["rank"][image]),
                "top": [{"class": str(names[label]), "probability": float(likely)} for label, likely in guesses],
            }
        )
    write_json(path.with_name(f"{path.name}s.json"), described)
