"""What a training of a row gave: one record each, as JSON beside its curves, and all of them in docs/results/records.csv."""

import csv
import json
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from alexnet.errors import UserError
from alexnet.files.record import Record
from alexnet.files.whole import write_text
from stages import paths
from workflow.results.rows import FOLDER, Run

TABLE = "records.csv"
PLACES = {"--plain": "DATA", "--images": "IMAGES", "--out": "OUT", "data.root": "IMAGES"}
"""Options and the setting for folders, and what a record has in their place."""
FOLDERS = re.compile(f"({'|'.join(map(re.escape, PLACES))})=.*")


class Result(Record):
    """The record of a training; errors are fractions of 1."""

    name: str
    row: str
    seed: int
    schedule: str
    epochs: int
    """That it ran."""
    epoch: int
    """Whose weights were tested."""
    images: int
    """Training images."""
    train_error: float
    """Top-1, over the last epoch, while the weights changed."""
    val_error: float
    """Top-1, after the kept epoch."""
    center_error: float
    """Top-1 of the test images, centre crop."""
    ten_crop_error: float
    """Top-1 of the test images, ten crops."""
    seconds: float
    """Of the training's processes; of an experiment, of all its stages."""
    images_per_second: float
    """While it trained, validation included; of an experiment, over all its stages."""
    precision: str
    machine: str
    commit: str
    sha256: str
    """Of the model."""
    command: str


def read_all(folder: Path = FOLDER) -> dict[str, Result]:
    """The records of the table, by name."""
    path = folder / TABLE
    if not path.exists():
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return {row["name"]: Result.model_validate_strings(row) for row in csv.DictReader(file)}
    except (ValidationError, KeyError, UnicodeDecodeError):
        raise UserError(f"{path} is damaged; `git checkout HEAD -- {path}` restores it") from None


def read_folder(folder: Path) -> dict[str, Result]:
    """The records in ``folder``, each NAME.json beside its curves NAME.csv, by name."""
    whole = (path for path in sorted(folder.glob("*.json")) if path.with_suffix(".csv").exists())
    found = (Result.read(path, "remove it, and run its row again") for path in whole)
    return {result.name: result for result in found}


def without_record(runs: list[Run], known: Mapping[str, "Result"], more: dict[str, Any]) -> list[Run]:
    """Those with no record, of their own schedule or of the full one, with the epochs of today and ``more`` settings."""
    return [run for run in runs if not any(recorded(one, known, more) for one in (run, replace(run, schedule="full")))]


def recorded(run: Run, known: Mapping[str, "Result"], more: dict[str, Any]) -> bool:
    """Whether there is a record of ``run`` with as many epochs as its settings say, or which it stopped early."""
    settings, found = run.settings(more), known.get(run.name)
    return found is not None and (found.epochs == settings["epochs"] or settings["early_stop"] is not None)


def gather(source: Path, folder: Path = FOLDER) -> list[str]:
    """Take the records of ``source``, each NAME.json with its curves NAME.csv, into the table. Returns their names.

    Raises ``UserError`` if there are none.
    """
    found = read_folder(source)
    if not found:
        raise UserError(f"--gather: {source} has no records")
    for name in found:
        shutil.copy(source / f"{name}.csv", folder / f"{name}.csv")
    add(list(found.values()), folder)
    return list(found)


def add(results: list[Result], folder: Path = FOLDER) -> None:
    """Write records into the table, in place of those of the same name."""
    merged = read_all(folder) | {result.name: result for result in results}
    text = StringIO()
    writer = csv.DictWriter(text, list(Result.model_fields), lineterminator="\n")
    writer.writeheader()
    writer.writerows(merged[name].model_dump() for name in sorted(merged))
    write_text(folder / TABLE, text.getvalue())


def result_of(facts: dict[str, Any], root: Path) -> Result:
    """The record of a training whose outs are in ``root``; ``facts``: what those do not say."""
    card = json.loads((root / paths.CARD).read_text(encoding="utf-8"))
    metrics = json.loads((root / paths.METRICS).read_text(encoding="utf-8"))
    with (root / paths.CURVES).open(newline="", encoding="utf-8") as file:
        curve = list(csv.DictReader(file))
    return Result(
        **facts,
        epochs=card["epochs"],
        epoch=card["epoch"],
        images=card["data"]["images"]["train"],
        train_error=float(curve[-1]["train_top1_error"]),
        val_error=float(curve[card["epoch"] - 1]["val_top1_error"]),
        center_error=metrics["center"]["top1_error"],
        ten_crop_error=metrics["ten_crop"]["top1_error"],
        precision=card["settings"]["precision"],
        sha256=card["sha256"],
    )


def command_line() -> str:
    """The command that this process is, for a record."""
    return shlex.join(["python", "-m", "workflow.results", *without_folders(sys.argv[1:])])


def without_folders(words: Sequence[str]) -> list[str]:
    """The words of a command, its folders, which are others elsewhere, as names."""
    named = [FOLDERS.sub(lambda found: f"{found[1]}={PLACES[found[1]]}", word) for word in words]
    return [PLACES.get(before, word) for before, word in pairwise(["", *named])]
