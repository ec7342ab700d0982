"""The rows of docs/results.md run side by side where there is neither DVC nor MLflow, and as experiments where there are."""

import json
import shlex
from pathlib import Path

import pytest
from helpers.clones import SMALL, clone, execute, runs
from helpers.nets import settings_of

from alexnet.files.whole import read_json, sha256_of
from workflow.results import plain
from workflow.results.estimates import Speeds, kind
from workflow.results.records import Result, gather, read_all
from workflow.results.rows import Row, Run

pytestmark = pytest.mark.services

WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("dvc", "mlflow", "sqlalchemy"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""


def test_rows_run_side_by_side_without_dvc_and_mlflow_and_one_that_fails_stops_no_other(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "without/sitecustomize.py").write_text(WITHOUT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "without"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/32").symlink_to(tiny)
    good = Row(id="good", claim="none", what="it learns", recipe="cifar-conv-local", full={"lr": 0.002})
    bad = Row(id="bad", claim="none", what="it diverges", recipe="cifar10-32", full={"lr": 1e9})
    more = {"epochs": 2, "batch_size": 8, "lr_milestones": [1], "threads": 1}
    plan = plain.Plan(tmp_path / "data", tmp_path / "out", jobs=2, commit="abc", machine="here", more=more)
    runs = [Run(bad, 0, "full"), Run(good, 0, "full")]
    speeds = Speeds()
    speeds.known = {kind(plan.settings(run)): 1000.0 for run in runs}
    plain.prepare(plan, runs, images=None)  # there is nothing to do
    lacking = plain.execute(plan, runs, speeds)
    assert len(lacking) == 1 and lacking[0].startswith("bad: failed (error: the loss is ")
    record, folder = Result.read(tmp_path / "out/good.json"), tmp_path / "out/good"
    metrics = read_json(folder / "reports/metrics.json")
    assert (record.center_error, record.ten_crop_error) == tuple(metrics[crops]["top1_error"] for crops in ("center", "ten_crop"))
    assert record.sha256 == sha256_of(folder / "models/alexnet.safetensors")
    assert (tmp_path / "out/good.csv").read_bytes() == (folder / "reports/train.csv").read_bytes()
    assert (record.epochs, record.images, record.commit, record.machine) == (2, 20, "abc", "here")
    assert record.seconds > 0 and record.images_per_second > 0
    assert "this run is not tracked" in (folder / "log.txt").read_text()
    assert not (folder / ".unsent").exists() and not (folder / ".checkpoints").exists()

    (tmp_path / "table").mkdir()
    assert gather(tmp_path / "out", tmp_path / "table") == ["good"]
    assert read_all(tmp_path / "table") == {"good": record}


def test_rows_run_as_experiments_and_their_records_say_what_dvc_and_mlflow_say(tmp_path: Path) -> None:
    clone(tmp_path, settings_of("cifar10-32", **SMALL))
    (tmp_path / "docs/results/records.csv").unlink()
    execute(tmp_path, "git", "commit", "-qam", "no records")
    changes = {"epochs": 2, "lr_milestones": "[1]", "batch_size": 8, "precision": "float32"}
    changes |= {"data.source": "digits", "data.limit": 20, "data.blends": 1}
    given = [word for key, value in changes.items() for word in ("-S", f"{key}={value}")]
    command = ["python", "-m", "workflow.results", "--short", "--rows", "figure-1-relu-0.002,conv-local", *given]
    said = execute(tmp_path, *command)
    assert said.endswith("all of these have a record; next: python -m docs.figures && python -m docs.tables\n")

    records = read_all(tmp_path / "docs/results")
    assert sorted(records) == ["conv-local-short", "figure-1-relu-0.002-short"]
    shown = json.loads(execute(tmp_path, "dvc", "exp", "show", "--json"))
    stored = {found["name"]: found["revs"][0]["data"]["metrics"] for state in shown for found in state["experiments"] or ()}
    tracked = runs(tmp_path).set_index("tags.mlflow.runName")
    for name, record in records.items():
        errors = record.center_error, record.ten_crop_error
        metrics = stored[name]["reports/metrics.json"]["data"]
        assert errors == tuple(metrics[crops]["top1_error"] for crops in ("center", "ten_crop"))
        assert errors == tuple(tracked.loc[name, f"metrics.{crops}_top1_error"] for crops in ("center", "ten_crop"))
        assert record.val_error == tracked.loc[name, "metrics.val_top1_error"]
        assert (record.epochs, record.images, record.schedule) == (2, 20, "short")
        assert record.command == f"python -m workflow.results --rows {record.row} --short {shlex.join(given)}"
        assert f"\n{record.epochs}," in (tmp_path / f"docs/results/{name}.csv").read_text()
    assert execute(tmp_path, *command).startswith("trainings without a record: 0,")
