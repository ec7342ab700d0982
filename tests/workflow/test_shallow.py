"""In a shallow clone, experiments that DVC could not store are refused before they cost anything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.staged import ROOT, params_text

STAGE = "stages:\n  check:\n    cmd: python -m workflow.check && cp params.yaml out\n    params: [lr]\n    outs: [out]\n"


def sh(folder: Path, *command: str, status: int = 0) -> str:
    """What a command prints, in an activated environment."""
    drop = ("DVC_", "MLFLOW_", "GIT_")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(drop)}
    variables |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}",
        "PYTHONPATH": str(ROOT),
        "DVC_NO_ANALYTICS": "1",
    }
    done = subprocess.run(
        command, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == status, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def shallow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shallow clone of two commits, with one stage."""
    first, folder = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("shallow") / "clone"
    (first / "params.yaml").write_text(params_text())
    (first / "dvc.yaml").write_text(STAGE)
    sh(first, "git", "init", "-q")
    for key, value in (("user.name", "test"), ("user.email", "test@localhost"), ("commit.gpgsign", "false")):
        sh(first, "git", "config", key, value)
    sh(first, "dvc", "init", "-q")
    sh(first, "git", "add", "-A")
    sh(first, "git", "commit", "-qm", "start")
    sh(first, "git", "commit", "-qm", "second", "--allow-empty")
    sh(first.parent, "git", "clone", "-q", "--depth", "1", first.as_uri(), str(folder))
    for key, value in (("user.name", "test"), ("user.email", "test@localhost"), ("commit.gpgsign", "false")):
        sh(folder, "git", "config", key, value)
    return folder


def test_an_experiment_that_dvc_could_not_store_is_refused_and_works_after_the_advice(shallow: Path) -> None:
    temporary = ("dvc", "exp", "run", "--temp", "-S", "lr=0.002", "-n", "apart")
    assert sh(shallow, "dvc", "exp", "run", "-q", "-n", "here", "-S", "lr=0.003") == ""
    said = sh(shallow, *temporary, status=255)
    assert f"error: {shallow} is a shallow clone" in said and "run `git fetch --unshallow` there" in said
    refusal = sh(shallow, sys.executable, "-m", "workflow.recipe", "tanh", status=2)
    assert refusal.startswith(f"error: {shallow} is a shallow clone")
    assert refusal.count("\n") == 1
    assert sh(shallow, "dvc", "exp", "list", "--name-only").split() == ["here"]

    sh(shallow, "git", "fetch", "-q", "--unshallow")
    sh(shallow, *temporary)
    assert sorted(sh(shallow, "dvc", "exp", "list", "--name-only").split()) == ["apart", "here"]
