"""The tests read params.yaml as it is staged: `git add` counts, what an experiment left in the workspace does not."""

import subprocess
from pathlib import Path

import pytest
from helpers.staged import params_text


def test_the_tests_read_the_staged_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "params.yaml"
    file.write_text("lr: 0.1\n")
    assert params_text.__wrapped__(tmp_path) == "lr: 0.1\n"  # no repository
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert params_text.__wrapped__(tmp_path) == "lr: 0.1\n"  # nothing staged
    subprocess.run(["git", "add", "params.yaml"], cwd=tmp_path, check=True)
    file.write_text("lr: 0.2\n")
    assert params_text.__wrapped__(tmp_path) == "lr: 0.1\n"
    subprocess.run(["git", "add", "params.yaml"], cwd=tmp_path, check=True)
    assert params_text.__wrapped__(tmp_path) == "lr: 0.2\n"
    monkeypatch.setenv("PATH", str(tmp_path))
    file.write_text("lr: 0.3\n")
    assert params_text.__wrapped__(tmp_path) == "lr: 0.3\n"  # no git
