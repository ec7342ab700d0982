"""Experiments that are killed or that fail, by DVC's commands and in its queue."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
from faults.harness import Workflow, end_all_in
from helpers.clones import activated, execute, reproduced, runs
from helpers.waiting import until

from alexnet.files.whole import sha256_of

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone, set to the small net, in which `dvc repro` has run."""
    return reproduced(tmp_path_factory.mktemp("experiments"))


def test_a_loss_that_is_not_finite_ends_in_one_line(repository: Path) -> None:
    said = execute(repository, "dvc", "exp", "run", "--temp", "-n", "wild", "-S", "lr=1e9", status=255)
    assert said.count("error: the loss is ") == 1
    assert "lr: 1000000000.0 is too high (try 1e+08)" in said
    assert "Traceback" not in said
    table = runs(repository)
    assert table[table["tags.mlflow.runName"] == "wild"].iloc[0]["status"] == "FAILED"


def test_an_experiment_that_was_killed_goes_on_in_one_process(repository: Path) -> None:
    """In a temporary folder, and all its processes at once, as where the power goes off."""
    # Another schedule gives the same numbers, and DVC trains again; settings of the machine alone rerun nothing.
    changes = ("-S", "machine.checkpoint_minutes=1e-9", "-S", "pipeline.schedule=Interleaved1F1B")
    command = ("dvc", "exp", "run", "--temp", "-n", "killed", *changes)
    shutil.rmtree(repository / ".checkpoints")  # the last states of other trainings
    with subprocess.Popen(
        command, cwd=repository, env=activated(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as first:
        until(lambda: any((repository / ".checkpoints").glob("*/*/state.json")), every=0.002)
        dvc = psutil.Process(first.pid)
        for process in [dvc, *dvc.children(recursive=True)]:
            process.kill()
    said = execute(repository, *command, "-S", "pipeline.ranks=1")
    assert "resuming this training where it was stopped, after step " in said
    # DVC knows the test of this model, which is that of two ranks without a stop.
    execute(repository, "python", "-m", "workflow.track")
    table = runs(repository)
    (run,) = table[table["tags.mlflow.runName"] == "killed"].to_dict("records")
    assert run["status"] == "FINISHED"
    assert run["params.machine.checkpoint_minutes"] == 1e-9
    assert run["metrics.ten_crop_loss"] > 0
    assert run["tags.model_sha256"] == sha256_of(repository / "models/alexnet.safetensors")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A clone whose queue is used, in which nothing is left running."""
    folder = Workflow(tmp_path / "queue").folder
    yield folder
    end_all_in(folder)


def test_a_queued_experiment_whose_worker_was_killed_is_taken_up_again(folder: Path) -> None:
    queue = ("python", "-m", "workflow.recipe", "no-lrn", "--queue")
    execute(folder, *queue)
    start_queue(folder)
    until(lambda: any(folder.glob(".checkpoints/*/*/state.json")))
    end_all_in(folder)
    said = execute(folder, *queue, status=2)
    assert (
        "error: no-lrn was killed while it ran; `dvc queue kill no-lrn && dvc queue remove no-lrn`, then run this again" in said
    )
    for action in ("kill", "remove"):
        execute(folder, "dvc", "queue", action, "no-lrn")
    execute(folder, *queue)
    start_queue(folder)
    until(lambda: "resuming this training where it was stopped" in logs(folder, "no-lrn"), every=1)


def start_queue(folder: Path) -> None:
    """The worker keeps what it inherits: a pipe would be open until it ends."""
    quiet = subprocess.DEVNULL
    subprocess.run(["dvc", "queue", "start"], cwd=folder, env=activated(), stdout=quiet, stderr=quiet, check=True)


def logs(folder: Path, name: str) -> str:
    """What a queued experiment has printed, or that it has not been started."""
    command = ("dvc", "queue", "logs", name)
    return subprocess.run(command, cwd=folder, env=activated(), capture_output=True, text=True, check=False).stdout
