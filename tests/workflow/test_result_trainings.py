"""Trainings of rows without DVC: side by side, stopped and gone on with, on images that they share."""

import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from helpers.nets import settings_of
from ruamel.yaml import YAML

from alexnet.errors import UserError
from alexnet.files.whole import read_json, write_json, write_text
from workflow.recipe import applied
from workflow.results.__main__ import main
from workflow.results.estimates import Speeds, kind
from workflow.results.experiments import SPENT, timed
from workflow.results.job import TIMING, Job
from workflow.results.plain import Plan, execute, need, prepare
from workflow.results.rows import Run, chosen, rows


def test_a_training_that_is_killed_keeps_the_time_of_its_epochs(tiny: Path, tmp_path: Path) -> None:
    settings = settings_of("cifar10-32", **{"pipeline.ranks": 1})
    first = Job(Run(rows()[0], 0, "full"), tmp_path / "job", settings, tiny / "data")
    first.start()
    try:
        for epoch in (1, 2):
            write_text(tmp_path / "job/reports/train.csv", "epoch\n" + epoch * "1\n")
            time.sleep(0.2)
            assert first.poll() == "running"
    finally:
        assert first.process
        first.process.kill()
    second = Job(first.run, first.folder, settings, first.data)
    second.start()
    assert second.process
    second.process.kill()
    assert second.seconds >= 0.4 and second.known_epochs == 2 and second.speed() > 0


def a_job(folder: Path, data: Path, **changes: Any) -> Job:
    """The training of a row in ``folder``, which has not begun."""
    return Job(chosen(["no-lrn"], "full")[0], folder, settings_of("cifar10-32", **{"pipeline.ranks": 1, **changes}), data)


def ended(job: Job) -> Job:
    """A job that was begun and killed at once."""
    job.start()
    assert job.process
    job.process.kill()
    job.process.wait()
    return job


def test_the_time_of_a_training_that_has_ended_no_longer_grows(tiny: Path, tmp_path: Path) -> None:
    job = ended(a_job(tmp_path / "job", tiny / "data"))
    assert job.poll() == "failed" and job.reason() == "ended by SIGKILL"
    seconds = job.seconds
    time.sleep(0.2)
    assert job.poll() == "failed" and job.seconds == seconds


def test_what_a_folder_has_of_other_settings_or_other_data_is_removed(tiny: Path, tmp_path: Path) -> None:
    other = tmp_path / "data"
    shutil.copytree(tiny / "data", other)
    starts: list[tuple[dict[str, Any], Path, bool]] = [({}, tiny / "data", True), ({"machine.workers": 3}, tiny / "data", True)]
    starts += [({"epochs": 3}, tiny / "data", False), ({}, tiny / "data", False), ({}, other, False), ({}, other, True)]
    ended(a_job(tmp_path / "job", tiny / "data"))
    write_json(tmp_path / "job" / TIMING, {"seconds": 100.0, "code": "another"})
    assert ended(a_job(tmp_path / "job", tiny / "data")).seconds == 0
    for changes, data, kept in starts:
        write_json(tmp_path / "job" / TIMING, {"trained": True, "seconds": 100.0, "images_per_second": 5.0})
        assert (ended(job := a_job(tmp_path / "job", data, **changes)).seconds == 100.0) == kept
        assert (job.folder / "data/shards").resolve() == (data / "shards").resolve()
        assert job.known_epochs == 0


def test_a_training_that_was_to_stop_in_its_last_step_is_not_evaluated(tiny: Path, tmp_path: Path) -> None:
    job = a_job(tmp_path / "job", tiny / "data")
    job.folder.mkdir()
    job.steps, job.asked = [["stages.evaluate"]], True
    job.process = subprocess.Popen(["true"])
    job.process.wait()
    assert job.poll() == "stopped" and job.reason() == "trained, but not evaluated"
    assert read_json(job.folder / TIMING)["trained"]


def test_a_training_that_goes_on_for_one_epoch_has_the_speed_of_those_before(tiny: Path, tmp_path: Path) -> None:
    job = a_job(tmp_path / "job", tiny / "data")
    assert job.speed() == 0
    job.begun, job.epochs = 100.0, [102.0]
    images = job.speed() * 2
    assert images == 20
    job.known_speed = 7.5
    assert job.speed() == 7.5
    job.epochs = [102.0, 106.0, 110.0]
    assert job.speed() == images / 4


def test_a_training_that_was_stopped_needs_the_epochs_that_are_left(tiny: Path, tmp_path: Path) -> None:
    job, speeds = a_job(tmp_path / "job", tiny / "data"), Speeds()
    speeds.known = {kind(job.settings): 100.0}
    whole = need(job, speeds)
    ended(job)
    write_text(job.folder / "reports/train.csv", "epoch\n" + 9 * "1\n")
    assert need(job, speeds) == pytest.approx(whole - 9 * 1.06 * 45_000 / 100)
    assert need(a_job(job.folder, job.data, seed=4), speeds) == whole


def test_two_processes_do_not_train_in_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(sys, "argv", ["results", "--plain", str(tmp_path), "--rows", "figure-1-relu-0.001", "--commit", "abc"])
    with FileLock(tmp_path / "results/lock"), pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    said = (
        f"error: {tmp_path}/results: another process trains rows there; wait until it ends, or name another folder with --out\n"
    )
    assert capsys.readouterr().err == said


def test_images_that_were_prepared_otherwise_are_refused(tiny: Path, tmp_path: Path) -> None:
    run, folder = chosen(["conv-local"], "full")[0], tmp_path / "32"
    (folder / "data/shards").mkdir(parents=True)  # of a preparation that was stopped
    with pytest.raises(UserError, match="32/data has no prepared images; name a folder of images with --images"):
        prepare(Plan(tmp_path, tmp_path / "out"), [run], images=None)
    (folder / "data/shards/meta.json").touch()
    prepared = Plan(tmp_path, tmp_path / "out").settings(run) | {"seed": 0}
    for changes, line in (({}, ""), ({"data.limit": 9}, "data.limit: 9, not None"), ({"seed": 2}, "seed: 2, not 0")):
        YAML().dump(applied(prepared, {"data.source": "folder", "data.root": "/elsewhere"} | changes), folder / "params.yaml")
        if line:
            with pytest.raises(UserError, match=f"32 were prepared with {line}; name another folder with --plain"):
                prepare(Plan(tmp_path, tmp_path / "out"), [run], images=None)
        else:
            prepare(Plan(tmp_path, tmp_path / "out"), [run], images=None)


def test_two_processes_do_not_prepare_the_same_images(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        with FileLock(tmp_path / "lock"):
            second = pool.submit(prepare, Plan(tmp_path, tmp_path / "out"), [], None)
            time.sleep(0.3)
            assert not second.done()
        second.result(timeout=10)


def test_the_time_of_an_experiment_is_that_of_all_its_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (first, failed), (second, done) = (timed("a", ["sh", "-c", f"sleep 0.3; exit {status}"]) for status in (3, 0))
    assert (failed, done) == (3, 0)
    assert first >= 0.3 and second >= first + 0.3
    write_json(SPENT, {"a": 1000.0})
    assert timed("a", ["true"])[0] >= 1000 > timed("a", ["true"])[0]


def test_nothing_is_started_that_would_not_end_in_time(tmp_path: Path) -> None:
    run = chosen(["conv-local"], "full")[0]
    plan = Plan(tmp_path, tmp_path / "out", minutes=1, begun=time.monotonic())
    speeds = Speeds()
    speeds.known = {kind(plan.settings(run)): 1000.0}
    (said,) = execute(plan, [run], speeds)
    assert said.startswith("conv-local: not started: about ")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="32/data has no prepared images; name a folder of images with --images"):
        prepare(plan, [run], images=None)
