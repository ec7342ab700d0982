"""The rows of docs/results.md run side by side, where there is neither DVC nor MLflow."""

from pathlib import Path

import pytest

from alexnet.files.whole import read_json, sha256_of
from workflow.results.estimates import Speeds, kind
from workflow.results.plain import Plan, execute, prepare
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
    plan = Plan(tmp_path / "data", tmp_path / "out", jobs=2, commit="abc", machine="here", more=more)
    runs = [Run(bad, 0, "full"), Run(good, 0, "full")]
    speeds = Speeds()
    speeds.known = {kind(plan.settings(run)): 1000.0 for run in runs}
    prepare(plan, runs, images=None)  # there is nothing to do
    lacking = execute(plan, runs, speeds)
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
