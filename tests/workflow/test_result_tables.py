"""The records of docs/results.md, and the tables that are made of them."""

import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from alexnet.errors import UserError
from alexnet.files.whole import write_text
from workflow.results import summary
from workflow.results.__main__ import main
from workflow.results.estimates import read_estimates, write_estimates
from workflow.results.records import Result, add, read_all, read_folder, without_record
from workflow.results.rows import SCHEDULES, chosen


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
            result(f"cifar10-32-seed{seed}", [0.3], tmp_path, row="cifar10-32", seed=seed, ten_crop_error=0.2 + seed / 100)
            for seed in range(3)
        ),
        *(
            result(f"no-lrn-seed{seed}", [0.3], tmp_path, row="no-lrn", seed=seed, ten_crop_error=0.22 + seed / 100)
            for seed in range(3)
        ),
        result("one-tower-seed0", [0.3], tmp_path, row="one-tower", ten_crop_error=0.18),
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
    assert said().startswith("trainings without a record: 1,")  # of 20 epochs, and there is one of 3
    assert said("-S", "epochs=3").startswith("trainings without a record: 0,")
    assert said("-S", "epochs=3", "--again").startswith("trainings without a record: 1,")
    read_all(records)["figure-1-relu-0.001"].write(records / "figure-1-relu-0.001.json")
    plain = ["--plain", str(records), "--out", str(records), "--commit", "abc"]
    assert said(*plain).startswith("trainings without a record: 1,")
    assert said(*plain, "-S", "epochs=3").startswith("trainings without a record: 0,")
    (records / "figure-1-relu-0.001.csv").unlink()
    assert said(*plain, "-S", "epochs=3").startswith("trainings without a record: 1,")


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
    assert tables["results-gains"]["no local response normalisation"][1] == f"+2.00 ± {(2 / 3) ** 0.5:.2f} points"
    assert tables["results-gains"]["no dropout"][1] == "not run yet"
    assert tables["results-gains"]["the centre crop alone"][1] == "+9.00 points"
    assert tables["results-gains"]["one tower with all kernels"][1] == "−3.00 points"
    assert tables["results-ablations"]["all features"][3] == "21.00 % ± 1.00"
    assert "not run yet" in tables["results-footnote"]["with local response normalisation"]
    shortened = tables["results-re-implementations"]["PyTorch, T4"]
    assert shortened[4:6] == ("5 of 90, 900 images", "1.5 min; full, 10 epochs, about 88 min")
    assert tables["results-re-implementations"]["the paper's training, 18 epochs"][4:6] == ("5 of 18", "1.5 min")
    assert [cells[4:6] for cells in tables["results-modern"].values()] == [("40", "1.5 min")]  # as many as the full schedule
    assert tables["results-times"]["26 %"][1].startswith(f"{2.7 * 45_000 / 1500 / 60:.1f} min, `figure-1-relu-0.001`")
    assert tables["results-times"]["11 %"][1] == "–"


def test_a_record_is_replaced_by_one_of_the_same_name(records: Path) -> None:
    again = result("no-lrn-seed0", [0.1], records, row="no-lrn")
    before = read_all(records)
    add([again], records)
    assert read_all(records) == before | {"no-lrn-seed0": again}


def test_times_on_several_machines_stand_beside_each_other(tmp_path: Path) -> None:
    times = [("a GPU", 60), ("a CPU", 600), ("a GPU", 120)]
    found = [result("a", [0.5], tmp_path, machine=machine, seconds=seconds) for machine, seconds in times]
    assert summary._run(*found) == ("1", "1.5 min; 10.0 min", "a GPU; a CPU")
