"""The rows of docs/results.md: each trains, plainly too, and the tables say what the records say."""

import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from filelock import FileLock
from helpers.nets import settings_of
from ruamel.yaml import YAML

from alexnet.config.check import check
from alexnet.errors import UserError
from alexnet.files.whole import read_json, write_json, write_text
from workflow.recipe import applied
from workflow.results import summary
from workflow.results.__main__ import main
from workflow.results.estimates import Speeds, beside, kind, measured, read_estimates, write_estimates
from workflow.results.experiments import timed
from workflow.results.job import TIMING, Job
from workflow.results.plain import Plan, execute, need, prepare
from workflow.results.records import Result, add, command_line, read_all, read_folder, without_folders, without_record
from workflow.results.rows import SCHEDULES, Run, chosen, rows


@pytest.mark.parametrize("schedule", ["short", "full"])
def test_every_row_has_settings_that_fit_and_a_name_of_its_own(schedule: Any) -> None:
    runs = chosen([], schedule)
    for run in runs:
        check(run.settings({}))
    assert len({run.name for run in runs}) == len(runs) >= 30
    assert {row.claim for row in rows()} == {"figure-1", "ablations", "footnote", "re-implementations", "modern"}
    with pytest.raises(UserError, match="there is no row conv-lokal; did you mean conv-local"):
        chosen(["conv-lokal"], schedule)


def test_a_record_has_its_command_without_the_folders_of_its_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    given = ["results", "--plain", "/home/ada/data", "--images=/home/ada/cifar", "--out", "/tmp/out", "--rows", "no-lrn"]
    monkeypatch.setattr(sys, "argv", given)
    assert command_line() == "python -m workflow.results --plain DATA --images=IMAGES --out OUT --rows no-lrn"
    settings = ["-S", "data.root=/home/ada/cifar", "-Sdata.root=/home/ada/cifar", "--set-param=data.root=/a=b", "data.limit=9"]
    named = ["-S", "data.root=IMAGES", "-Sdata.root=IMAGES", "--set-param=data.root=IMAGES", "data.limit=9"]
    assert without_folders(settings) == named


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


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["--minutes", "30"], "--minutes goes with --plain"),
        (["--plain", "data", "--jobs", "0"], "argument --jobs: invalid positive value: '0'"),
        (["-S", "lrr=1"], "-S lrr=1: unknown setting lrr; did you mean lr?"),
        (["-S", "seed.x=1"], "-S seed.x=1: unknown setting seed.x; did you mean "),
        (["-S", "lr=[1"], "-S lr=[1: that is no value in YAML"),
        (["-S", "lr"], "-S lr: write KEY=VALUE"),
        (["-S", "seed=5"], "-S seed=5: docs/results/rows.yaml has the seeds of each row"),
        (["--plain", "no", "--full", "-S", "batch_size=0"], "figure-1-relu-0.001: batch_size: 0 is not valid"),
        (["--plain", "no", "--again"], "--again does not go with --plain; name another folder with --out"),
        (["--gather", "nowhere"], "--gather: nowhere has no records"),
        (["--rows", "no-lrm"], "--rows: there is no row no-lrm; did you mean no-lrn?"),
        (["--estimate", "-S", "lr=1"], "--estimate: docs/results has the times of all rows on two CPU cores; no GPU, "),
        (["--estimate", "--rows", "no-lrn"], "--estimate: docs/results has the times of all rows on two CPU cores; no GPU, "),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(
    given: list[str], line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["results", *given])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert f"error: {line}" in capsys.readouterr().err.splitlines()[-1]


def test_two_processes_do_not_train_in_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(sys, "argv", ["results", "--plain", str(tmp_path), "--rows", "conv-local", "--commit", "abc"])
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
    assert timed("a", ["true"])[0] < 0.3


def test_times_on_several_machines_stand_beside_each_other(tmp_path: Path) -> None:
    times = [("a GPU", 60), ("a CPU", 600), ("a GPU", 120)]
    found = [result("a", [0.5], tmp_path, machine=machine, seconds=seconds) for machine, seconds in times]
    assert summary._run(*found) == ("1", "1.5 min; 10.0 min", "a GPU; a CPU")


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


def test_an_estimate_grows_with_the_epochs_and_is_kept_for_its_kind(tmp_path: Path) -> None:
    settings = chosen(["figure-1-relu-0.001"], "full")[0].settings({"pipeline.ranks": 1, "batch_size": 8})
    assert measured(settings) > 0
    speeds = Speeds(tmp_path / "speeds.json")
    speeds.note(settings, 500.0)
    again = Speeds(tmp_path / "speeds.json")
    assert again.seconds(settings | {"epochs": 0}) == pytest.approx(25 + 100_000 / 3 / 500)
    longer = again.seconds(settings | {"epochs": settings["epochs"] + 10}) - again.seconds(settings)
    assert longer == pytest.approx(10 * 45_000 / 500, rel=0.1)


def test_replicas_are_a_kind_of_their_own_and_count_as_far_as_there_are_cores() -> None:
    run = chosen(["figure-1-relu-0.001"], "full")[0]
    more = {"pipeline.ranks": 2, "pipeline.microbatches": 2}
    one, two = (run.settings(more | {"pipeline.replicas": replicas}) for replicas in (1, 2))
    assert kind(one) != kind(two)
    assert [beside(one, cores) for cores in (0, 1, 2, 3, 8)] == [1, 1, 2, 2, 2]
    assert [beside(two, cores) for cores in (0, 1, 2, 3, 8)] == [1, 1, 2, 3, 4]


def result(name: str, errors: list[float], folder: Path, **changes: Any) -> Result:
    """A record with its curves in ``folder``."""
    columns = {"epoch": range(1, len(errors) + 1), "train_top1_error": errors, "val_top1_error": errors}
    pd.DataFrame(columns).to_csv(folder / f"{name}.csv", index=False)
    facts: dict[str, Any] = {"name": name, "row": name, "seed": 0, "schedule": "full", "epoch": len(errors), "images": 45_000}
    facts |= {"epochs": len(errors), "train_error": errors[-1], "val_error": errors[-1], "center_error": 0.3}
    facts |= {"ten_crop_error": 0.28, "seconds": 90.0, "images_per_second": 1500.0, "precision": "float32"}
    return Result(**facts | {"machine": "a machine", "commit": "abc", "sha256": "0f", "command": "make"} | changes)


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of records, which the tables are made of."""
    found = [
        result("figure-1-relu-0.001", [0.6, 0.4, 0.2], tmp_path),
        result("figure-1-relu-0.002", [0.5, 0.4, 0.3], tmp_path),
        result("figure-1-tanh-0.001", [*(0.6 for _ in range(14)), 0.2], tmp_path),
        *(
            result(
                f"cifar10-32-seed{seed}",
                [0.3],
                tmp_path,
                row="cifar10-32",
                seed=seed,
                ten_crop_error=0.2 + seed / 100,
                val_error=0.35,
            )
            for seed in range(3)
        ),
        *(
            result(f"no-lrn-seed{seed}", [0.3], tmp_path, row="no-lrn", seed=seed, ten_crop_error=0.22 + seed / 100)
            for seed in range(3)
        ),
        result("pytorch-t4-short", [0.5, 0.5, 0.5, 0.5, 0.5], tmp_path, row="pytorch-t4", schedule="short", images=900),
        result("paper-18-short", [0.5, 0.5, 0.5, 0.5, 0.5], tmp_path, row="paper-18", schedule="short"),
        result("cifar10-32-long-short", 40 * [0.3], tmp_path, row="cifar10-32-long", schedule="short"),
    ]
    write_estimates({"pytorch-t4": 88 * 60.0, "cifar10-32-long": 40 * 60.0}, tmp_path / "estimates.csv")
    monkeypatch.setattr(summary, "read_estimates", lambda: read_estimates(tmp_path / "estimates.csv"))
    add(found, tmp_path)
    monkeypatch.setattr(summary, "FOLDER", tmp_path)
    monkeypatch.setattr(summary, "read_all", lambda: read_all(tmp_path))
    return tmp_path


def test_only_rows_without_a_record_are_run(tmp_path: Path) -> None:
    def recorded(*rows: str, epochs: int) -> dict[str, Result]:
        return {run.name: result(run.name, epochs * [0.3], tmp_path) for run in chosen(rows, "full")}

    rows = ["no-lrn", "plain-pooling", "pytorch-t4"]
    known = recorded("no-lrn", epochs=12) | recorded("pytorch-t4", epochs=7)  # which may stop early
    known |= recorded("plain-pooling", epochs=3)  # of a row that has been changed
    known["no-lrn-seed3-short"] = known["no-lrn-seed2"]
    for schedule in SCHEDULES:
        assert [run.row.id for run in without_record(chosen(rows, schedule), known, {})] == 3 * ["plain-pooling"]
        assert [run.row.id for run in without_record(chosen(rows, schedule), known, {"epochs": 3})] == 3 * ["no-lrn"]
    assert without_record(chosen(rows, "short"), {}, {}) == chosen(rows, "short")


def test_rows_with_a_record_of_as_many_epochs_run_only_if_again_is_asked_for(
    records: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*given: str) -> str:
        monkeypatch.setattr(sys, "argv", ["results", "--list", "--full", "--rows", "figure-1-relu-0.001", *given])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 0
        return capsys.readouterr().out.splitlines()[-1]

    monkeypatch.setattr("workflow.results.__main__.read_all", lambda: read_all(records))
    monkeypatch.setattr("workflow.results.estimates.measured_apart", lambda settings: 1000.0)
    assert said().startswith("1 trainings without a record")  # of 20 epochs, and there is one of 3
    assert said("-S", "epochs=3").startswith("0 trainings without a record")
    assert said("-S", "epochs=3", "--again").startswith("1 trainings without a record")
    read_all(records)["figure-1-relu-0.001"].write(records / "figure-1-relu-0.001.json")
    plain = ["--plain", str(records), "--out", str(records), "--commit", "abc"]
    assert said(*plain).startswith("1 trainings without a record")
    assert said(*plain, "-S", "epochs=3").startswith("0 trainings without a record")
    (records / "figure-1-relu-0.001.csv").unlink()
    assert said(*plain, "-S", "epochs=3").startswith("1 trainings without a record")


def test_a_damaged_record_is_named_with_what_to_do(tmp_path: Path, records: Path) -> None:
    text = (records / "records.csv").read_text()
    write_text(records / "records.csv", text.replace(",45000,", ",many,", 1))
    with pytest.raises(UserError, match=r"records\.csv is damaged; `git checkout HEAD -- .*records\.csv` restores it"):
        read_all(records)
    write_text(records / "no-lrn-seed0.json", "{")
    with pytest.raises(UserError, match=r"no-lrn-seed0\.json is damaged .*; remove it, and run its row again"):
        read_folder(records)


def test_the_epochs_to_an_error_lie_on_the_line_between_two_epochs(records: Path) -> None:
    found = read_all(records)
    assert summary.epochs_to(found["figure-1-relu-0.001"], 0.25) == pytest.approx(2.75)
    assert summary.epochs_to(found["figure-1-relu-0.002"], 0.25) is None
    assert summary.epochs_to(found["figure-1-tanh-0.001"], 0.25) == pytest.approx(14.875)


def test_the_tables_have_what_the_records_say_and_name_what_was_not_run(records: Path) -> None:
    tables = {name: {line[0]: line[1:] for line in make()[1]} for name, make in summary.TABLES.items()}
    assert all(len(head) == len(line) for head, lines in (make() for make in summary.TABLES.values()) for line in lines)
    assert tables["results-figure-1"]["ReLU, rate 0.001"][1] == "2.8"
    assert tables["results-figure-1"]["ReLU, rate 0.002"][1] == "not reached"
    ratio = next(cells[1] for name, cells in tables["results-figure-1"].items() if name.startswith("**tanh / ReLU"))
    assert ratio.startswith(f"**{14.875 / 2.75:.1f}**")
    assert tables["results-gains"]["nothing"][-1] == "5.00 points"
    assert tables["results-gains"]["no local response normalisation"][1] == f"+2.00 ± {(2 / 3) ** 0.5:.2f} points"
    assert tables["results-gains"]["no dropout"][1:] == ("not run yet", "–")
    assert tables["results-ablations"]["all features"][3] == "21.00 % ± 1.00"
    assert "not run yet" in tables["results-footnote"]["with local response normalisation"]
    assert tables["results-re-implementations"]["PyTorch, T4"][4:6] == ("5 of 90, 900 images", "1.5 min; full about 88 min")
    assert tables["results-re-implementations"]["the paper's training, 18 epochs"][4:6] == ("5 of 18", "1.5 min")
    assert [cells[4:6] for cells in tables["results-modern"].values()] == [("40", "1.5 min")]  # as many as the full schedule
    assert tables["results-times"]["26 %"][1].startswith(f"{2.7 * 45_000 / 1500 / 60:.1f} min, `figure-1-relu-0.001`")
    assert tables["results-times"]["11 %"][1] == "not reached"


def test_a_record_is_replaced_by_one_of_the_same_name(records: Path) -> None:
    again = result("no-lrn-seed0", [0.1], records, row="no-lrn")
    before = read_all(records)
    add([again], records)
    assert read_all(records) == before | {"no-lrn-seed0": again}
