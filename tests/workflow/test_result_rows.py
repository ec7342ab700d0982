"""The rows of docs/results.md: their settings, how long they take, and what the command line refuses."""

import sys
from pathlib import Path
from typing import Any

import pytest

from alexnet.config.check import check
from alexnet.errors import UserError
from workflow.results.__main__ import main
from workflow.results.estimates import Speeds, beside, kind, measured
from workflow.results.records import command_line, without_folders
from workflow.results.rows import chosen, rows


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
