"""Run rows as DVC experiments, one after the other, and take their records into the table."""

import shlex
import tempfile
import time
from itertools import chain
from pathlib import Path
from typing import Any

from alexnet.errors import UserError
from alexnet.files.whole import read_json, write_bytes, write_json
from alexnet.output import say
from alexnet.signals import run_to_its_end
from stages import paths
from stages.command import refuse_shallow
from workflow import experiments as dvc
from workflow.check import refuse_uncommitted
from workflow.recipe import experiment, word
from workflow.restore import restore
from workflow.results.records import add, result_of, without_folders
from workflow.results.rows import FOLDER, Run

SPENT = paths.CHECKPOINTS / "results.json"
"""Seconds of the experiments that were stopped, by name, until they have a record."""


def refuse_what_cannot_run() -> None:
    """Raise ``UserError`` where no experiment can be run, before anything is timed; restore what a killed DVC left damaged."""
    refuse_uncommitted()
    refuse_shallow()
    restore()


def run_all(runs: list[Run], more: list[str], machine: str) -> list[str]:
    """Run each as the experiment of its name, with the settings ``more`` on top.

    Returns a line for each that has no record at the end: also for one whose name is taken, as its time is not known.
    """
    lacking = []
    for run in runs:
        changes = [f"{key}={word(value)}" for key, value in run.changes.items()]
        try:
            command = experiment(run.row.recipes, [*changes, *more], run.name, queue=False, force=False)
        except UserError as error:
            lacking.append(f"{run.name}: {error}")
            continue
        seconds, status = timed(run.name, command)
        if status:
            lacking.append(f"{run.name}: dvc exp run ended with status {status}; its message is above")
            continue
        known = found(run)
        if known is None:
            lacking.append(f"{run.name}: DVC has stored no experiment of that name")
            continue
        given = chain.from_iterable(("-S", setting) for setting in without_folders(more))
        facts = run.facts() | {
            "seconds": seconds,
            "machine": machine,
            "commit": known.baseline,
            "command": shlex.join(["python", "-m", "workflow.results", "--rows", run.row.id, f"--{run.schedule}", *given]),
        }
        record(known, facts)
    return lacking


def timed(name: str, command: list[str]) -> tuple[float, int]:
    """Run an experiment that may have been stopped before. Returns its seconds, in earlier processes too, and the exit status."""
    spent = dict(read_json(SPENT, "remove it")) if SPENT.exists() else {}
    begun, status = time.monotonic(), 1
    try:
        status = run_to_its_end(command)
    finally:
        seconds = round(spent.pop(name, 0.0) + time.monotonic() - begun, 1)
        SPENT.parent.mkdir(exist_ok=True)
        write_json(SPENT, spent | ({name: seconds} if status else {}))
    return seconds, status


def found(run: Run) -> dvc.Experiment | None:
    """The experiment of a run's name, if there is one that was trained and evaluated."""
    names = (known for known in dvc.experiments() if known.name == run.name and not known.in_workspace)
    return next((known for known in names if known.trained and known.error is not None), None)


def record(known: dvc.Experiment, facts: dict[str, Any]) -> None:
    """Write the record of an experiment, and its curves."""
    with tempfile.TemporaryDirectory() as folder:
        for path in (paths.CARD, paths.CURVES, paths.METRICS):
            (Path(folder) / path.parent).mkdir(exist_ok=True)
            known.fetch(str(path), Path(folder) / path.parent)
        images = known.card["data"]["images"]["train"] * known.card["epochs"]
        result = result_of(facts | {"images_per_second": round(images / facts["seconds"], 1)}, Path(folder))
        write_bytes(FOLDER / f"{result.name}.csv", (Path(folder) / paths.CURVES).read_bytes())
        add([result])
    say(f"{result.name}: {result.center_error:.2%} centre crop, {result.ten_crop_error:.2%} ten crops")
