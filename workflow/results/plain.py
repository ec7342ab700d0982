"""Run rows without DVC and MLflow: each training in a folder of its own, several at a time, on data that they share."""

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock
from ruamel.yaml import YAML

from alexnet.config.section import flat
from alexnet.errors import UserError
from alexnet.files.shard_index import META
from alexnet.files.whole import write_bytes
from alexnet.output import say
from alexnet.signals import run_to_its_end
from stages.command import read_yaml
from stages.paths import CURVES, PARAMS
from workflow.recipe import applied, shipped
from workflow.results.estimates import Speeds
from workflow.results.job import Job, State, stage_environment
from workflow.results.records import command_line, result_of
from workflow.results.rows import Run

PAUSE = 0.2
"""Seconds between looks at the jobs."""
FAREWELL = 60.0
"""Seconds that trainings have to save after Ctrl-C or an error."""


@dataclass
class Plan:
    """What the command line asks for."""

    data: Path
    """Has prepared data by the size of the squares: ``32/data/shards`` and so on."""
    out: Path
    """Gets NAME.json and NAME.csv of each training, and its folder."""
    jobs: int = 1
    workers: int | None = None
    """Decoding threads of a job; None for its share of the cores."""
    minutes: float | None = None
    commit: str = ""
    machine: str = ""
    more: dict[str, Any] = field(default_factory=dict)
    """Settings on top of every row's."""
    begun: float = field(default_factory=time.monotonic)

    def settings(self, run: Run) -> dict[str, Any]:
        """All of the params.yaml of ``run``. Raises ``UserError`` as ``Run.settings`` does."""
        cores = len(os.sched_getaffinity(0))
        machine = {"machine.workers": self.workers or max(1, -(-cores // self.jobs)), "machine.log_model": False}
        return run.settings(machine | {"pipeline.ranks": 1} | self.more)

    def left(self) -> float:
        """Seconds until the time is over."""
        return float("inf") if self.minutes is None else max(0.0, 60 * self.minutes - (time.monotonic() - self.begun))


def prepare(plan: Plan, runs: list[Run], images: str | None) -> None:
    """Bring the images of the folder ``images`` to the sizes that ``runs`` need and ``plan.data`` lacks.

    All seeds have the same validation images, those of the shipped seed. If another process prepares them, this one waits for it.
    Raises ``UserError`` if what is there was prepared with other settings.
    """
    plan.data.mkdir(parents=True, exist_ok=True)
    with FileLock(plan.data / "lock"):
        _prepare(plan, runs, images)


def _prepare(plan: Plan, runs: list[Run], images: str | None) -> None:
    needed = {settings["preprocess"]["size"]: settings for settings in map(plan.settings, runs)}
    for size, settings in sorted(needed.items()):
        folder = plan.data / str(size)
        # Of the machine's settings, the workers are those of one job among several.
        changes = {"data.source": "folder", "data.name": None, "machine.workers": None, "seed": shipped()["seed"]}
        if (folder / "data/shards" / META).exists():
            _refuse_other_settings(folder, applied(settings, changes))
            continue
        if images is None:
            raise UserError(f"{folder}/data has no prepared images; name a folder of images with --images")
        folder.mkdir(parents=True, exist_ok=True)
        YAML().dump(applied(settings, changes | {"data.root": str(Path(images).resolve())}), folder / PARAMS)
        for stage in ("download", "pca", "preprocess"):
            if run_to_its_end([sys.executable, "-m", f"stages.{stage}"], cwd=folder, env=stage_environment()):
                raise UserError(f"{stage} failed in {folder}; its message is above")


def _refuse_other_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Raise ``UserError`` if the images in ``folder`` were prepared with others; wherever they came from."""
    if not (folder / PARAMS).exists():
        return
    before, wanted = flat(read_yaml(folder / PARAMS)), flat(settings)
    sections = ("data.", "pca.", "preprocess.", "seed")
    for name in (name for name in wanted if name.startswith(sections) and name != "data.root"):
        if before.get(name) != wanted[name]:
            raise UserError(
                f"the images in {folder} were prepared with {name}: {before.get(name)}, not {wanted[name]}; "
                "name another folder with --plain"
            )


def execute(plan: Plan, runs: list[Run], speeds: Speeds) -> list[str]:
    """Run what has no record yet, the longest first. Returns a line for each training that has none at the end."""
    jobs = [job_of(plan, run) for run in runs]
    waiting = sorted(jobs, key=lambda job: -need(job, speeds))
    running: list[Job] = []
    lacking: list[str] = []
    try:
        while waiting or running:
            while waiting and len(running) < plan.jobs:
                for job in running:
                    speeds.note(job.settings, job.speed())
                job = waiting.pop(0)
                name, seconds = job.run.name, need(job, speeds)
                if seconds > plan.left():
                    lacking.append(f"{name}: not started: about {seconds / 60:.1f} min, and {plan.left() / 60:.1f} are left")
                else:
                    why = ": other settings, data or code than before, so from the beginning" if job.is_of_another() else ""
                    say(f"{name}: started, about {seconds / 60:.1f} min{why}")
                    job.start()
                    running.append(job)
            time.sleep(PAUSE)
            for job in running:
                if plan.left() <= 0:
                    job.stop()
            for job, state in [(job, job.poll()) for job in running]:
                if state != "running":
                    running.remove(job)
                    speeds.note(job.settings, job.speed())
                    lacking += finish(plan, job, state)
    finally:
        _stop(running)
    return lacking


def job_of(plan: Plan, run: Run) -> Job:
    """The training of ``run``, in a folder of its own."""
    settings = plan.settings(run)
    return Job(run, plan.out / run.name, settings, plan.data / str(settings["preprocess"]["size"]) / "data")


def need(job: Job, speeds: Speeds) -> float:
    """Seconds that a training still needs, with its evaluation."""
    done = 0 if job.is_of_another() else job.done()
    return speeds.seconds(job.settings | {"epochs": max(0, job.settings["epochs"] - done)})


def _stop(running: list[Job]) -> None:
    until = time.monotonic() + FAREWELL
    for job in running:
        job.stop()
    while time.monotonic() < until and any(job.poll() == "running" for job in running):
        time.sleep(PAUSE)


def finish(plan: Plan, job: Job, state: State) -> list[str]:
    """Write the record of a training that was evaluated, and its curves. Returns a line if it has none."""
    run = job.run
    if state != "done":
        line = f"{run.name}: {state} ({job.reason()})"
        say(line)
        return [line]
    facts = run.facts() | {
        "seconds": round(job.seconds, 1),
        "images_per_second": job.speed(),
        "machine": plan.machine,
        "commit": plan.commit,
        "command": command_line(),
    }
    result = result_of(facts, job.folder)
    write_bytes(plan.out / f"{run.name}.csv", (job.folder / CURVES).read_bytes())
    result.write(plan.out / f"{run.name}.json")
    job.forget()
    errors = f"{result.center_error:.2%} centre crop, {result.ten_crop_error:.2%} ten crops"
    say(f"{run.name}: {errors}, {result.epochs} epochs in {result.seconds:.0f} s, {result.images_per_second:,.0f} images/s")
    return []
