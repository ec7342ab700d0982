"""The last words of `make repro`: the errors, what changed, and whether the errors are those of the committed report."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.staged import ROOT, params_text


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository whose committed report has errors of 5 and 6 %, and a model's card."""
    (tmp_path / "params.yaml").write_text(params_text())
    for folder in ("models", "reports"):
        (tmp_path / folder).mkdir()
    (tmp_path / "models/alexnet.json").write_text('{"flip": false}')
    report(tmp_path, 0.05, 0.06)
    (tmp_path / "dvc.yaml").write_text("metrics: [reports/metrics.json]\n")
    for command in (["init", "-q"], ["add", "params.yaml", "dvc.yaml", "reports"], ["commit", "-qm", "report"]):
        subprocess.run(["git", "-c", "user.name=test", "-c", "user.email=test@localhost", *command], cwd=tmp_path, check=True)
    return tmp_path


def report(clone: Path, center: float, ten_crop: float) -> None:
    errors = {"center": center, "ten_crop": ten_crop}
    metrics = {name: {"top1_error": error, "top5_error": 0.0, "loss": 0.1} for name, error in errors.items()}
    (clone / "reports/metrics.json").write_text(json.dumps(metrics))


def summary(clone: Path) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "workflow.summary"]
    return subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()


def test_errors_that_the_committed_report_has_need_no_word(clone: Path) -> None:
    lines = summary(clone)
    assert len(lines) == 3
    assert lines[1] == "  five crops: top-1 error 6.00%, top-5 error 0.00%"


def test_other_errors_than_the_committed_reports_come_with_the_likely_reason(clone: Path) -> None:
    report(clone, 0.05, 0.08)
    lines = summary(clone)
    assert "ten_crop.top1_error 0.06 0.08 0.02" in [" ".join(line.split()) for line in lines]
    assert "another kind of processor, which adds" in lines[-1]


def test_other_settings_explain_other_errors(clone: Path) -> None:
    report(clone, 0.05, 0.08)
    text = (clone / "params.yaml").read_text()
    (clone / "params.yaml").write_text(text.replace("seed: 0", "seed: 1"))
    assert not any("processor" in line for line in summary(clone))


def test_settings_and_errors_that_changed_since_the_last_commit_are_listed(clone: Path) -> None:
    report(clone, 0.05, 0.08)
    text = (clone / "params.yaml").read_text()
    (clone / "params.yaml").write_text(text.replace("seed: 0", "seed: 1"))
    changed = [line.split() for line in summary(clone)[3:]]
    assert ["seed", "0", "1"] in changed
    assert ["ten_crop.top1_error", "0.06", "0.08", "0.02"] in changed
    assert not any("center.top1_error" in words for words in changed)


def test_nothing_is_compared_before_the_first_commit(clone: Path) -> None:
    shutil.rmtree(clone / ".git")
    report(clone, 0.05, 0.08)
    assert len(summary(clone)) == 3
