"""Test one model, or an ensemble, on a folder with one subfolder per class."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from alexnet.errors import UserError
from alexnet.evaluate.evaluation import Evaluation, joined, score
from alexnet.evaluate.predictions import Probabilities
from alexnet.evaluate.results import confusion, metrics, per_class
from alexnet.inference.images import read_batches
from alexnet.inference.model import Model
from alexnet.names import printable
from alexnet.nearest import nearest
from alexnet.sources.listing import Omissions
from alexnet.sources.scan import class_folders, images_below
from alexnet.sources.wordnet import WNID


class TestResult(NamedTuple):
    """The results of a test."""

    evaluations: list[Evaluation]
    """Of each model and, if there are several, of their average."""
    files: list[str]
    """The images that were read, relative to the folder."""
    bad: list[tuple[str, str]]
    """The images that could not be read, with reasons."""
    left_out: str
    """How many other files there are, by kind; empty if none."""


def run_test(models: Sequence[Model], folder: Path) -> TestResult:
    """Test ``models`` on the images below the class folders in ``folder``; probabilities are averaged (paper, section 5).

    A class folder is named after its class; as many WordNet ids as there are classes are the classes in that order.
    Some classes may have no folder. Raises ``UserError`` if another folder is there, or no image can be read.
    """
    omissions = Omissions()
    labels = _labels(folder, models[0].classes)
    images = {str(image): label for name, label in labels.items() for image in images_below(folder / name, omissions)}
    parts: list[list[Evaluation]] = []
    files, bad = [], []
    for batch in read_batches(list(images), {model.preparation for model in models}, "evaluate"):
        bad += [(str(batch.images[place]), reason) for place, reason in batch.bad.items()]
        read = [str(image) for place, image in enumerate(batch.images) if place not in batch.bad]
        if read:
            found = [model.both(batch.squares[model.preparation]) for model in models]
            actual = torch.tensor([images[image] for image in read], device=found[0].center.device)
            parts.append([score(probabilities, actual) for probabilities in (*found, *_average(found))])
            files += [str(Path(image).relative_to(folder)) for image in read]
    if not files:
        raise UserError(f"{folder} has no image that can be read in a class folder; choose another folder")
    return TestResult([joined(of_model) for of_model in zip(*parts, strict=True)], files, bad, omissions.summary())


def refuse_other_classes(names: Sequence[str], models: Sequence[Model]) -> None:
    """Raise ``UserError`` if the models differ in their classes."""
    ours = models[0].classes
    for name, model in zip(names, models, strict=True):
        if model.classes != ours:
            pairs = zip(ours, model.classes, strict=False)
            why = next((f"{theirs} in place of {mine}" for mine, theirs in pairs if mine != theirs), "another number of them")
            raise UserError(f"{name} has other classes than {names[0]} ({why}); average models of the same classes")


def summary(evaluations: Sequence[Evaluation], names: Sequence[str], models: Sequence[Model]) -> str:
    """The errors of each model and of their average, and the errors per class, as two text tables."""
    classes, averaged = models[0].classes, evaluations[-1]
    flips = {model.card.flip for model in models}
    ten = "all crops" if len(flips) > 1 else "ten crops" if True in flips else "five crops"
    rows: dict[str, dict[str, float]] = {}
    for name, evaluation in zip([*names, "average"] if len(names) > 1 else [""], evaluations, strict=True):
        errors = metrics(evaluation, len(classes))
        prefix = f"{printable(name)}, " if name else ""
        rows |= {prefix + "centre crop": errors["center"], prefix + ten: errors["ten_crop"]}
    table = per_class(averaged, classes).drop(columns="center_top1_error")
    wrong = confusion(averaged, len(classes))
    np.fill_diagonal(wrong, 0)
    taken_for = zip(wrong.argmax(1), wrong.max(1), strict=True)
    table["most often taken for"] = [f"{printable(classes[label])} ({count})" if count else "" for label, count in taken_for]
    table.index = pd.Index([printable(name) for name in classes])
    there = table["images"] > 0
    return (
        f"{len(averaged.actual):,} images of {there.sum():,} of {len(classes):,} classes\n\n"
        f"{_text(pd.DataFrame.from_dict(rows, 'index'))}\n\nwith {ten}, by class:\n{_text(table[there])}"
    )


def _text(table: pd.DataFrame) -> str:
    percent = "{:.2%}".format
    formatters = {"top-1 error": percent, "top-5 error": percent, "loss": "{:.4f}".format}
    return table.rename(columns={"top1_error": "top-1 error", "top5_error": "top-5 error"}).to_string(formatters=formatters)


def _average(found: Sequence[Probabilities]) -> list[Probabilities]:
    if len(found) == 1:
        return []
    center, ten_crop = (torch.stack([getattr(one, kind) for one in found]).mean(0) for kind in ("center", "ten_crop"))
    return [Probabilities(center, ten_crop)]


def _labels(folder: Path, classes: Sequence[str]) -> dict[str, int]:
    if not folder.is_dir():
        others = [other.name for other in folder.parent.iterdir() if other.is_dir()] if folder.parent.is_dir() else []
        near = nearest(folder.name, others)
        remedy = f"did you mean {folder.with_name(near)}?" if near else "choose one with a folder of images for each class"
        raise UserError(f"{folder} is not a folder; {remedy}")
    names = class_folders(folder)
    labels = {name: label for label, name in enumerate(classes)}
    if len(names) == len(classes) and all(WNID.fullmatch(name) for name in names):
        return {name: label for label, name in enumerate(names)}
    for name in names:
        if name not in labels:
            splits = [split for split in ("test", "val", "train") if split in names]
            near = nearest(name, classes)
            some = ", ".join(classes[:5]) + (", …" if len(classes) > 5 else "")
            remedy = f"choose {folder / splits[0]}" if splits else f"did you mean {near}?" if near else f"it has {some}"
            raise UserError(f"{folder} has the folder {name}, and the model no such class; {remedy}")
    return {name: labels[name] for name in names}
