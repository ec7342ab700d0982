"""Ctrl-C while MLflow gets the model costs no training."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.nets import settings_of
from helpers.staged import ROOT
from ruamel.yaml import YAML

from alexnet.tracking.client import Store

pytestmark = pytest.mark.services

CTRL_C_IN_AN_UPLOAD = """
import os, signal
from alexnet.tracking.client import StoredRun
from stages.command import run
from stages.train import Params, main

send = StoredRun.artifacts

def interrupted(self, path, folder):
    os.kill(os.getpid(), signal.SIGINT)
    send(self, path, folder)

StoredRun.artifacts = interrupted
run(main, Params)
"""


def python(folder: Path, experiment: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "GIT_"))}
    environment = kept | {"PYTHONPATH": str(ROOT), "DVC_EXP_NAME": experiment}
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_ctrl_c_while_mlflow_gets_the_model_costs_no_training(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    small = {"batch_size": 8, "epochs": 2, "lr": 0.001, "pipeline.ranks": 1, "machine.checkpoint_minutes": 1e-9}
    small["machine.log_model"] = False
    YAML().dump(settings_of("cifar10-32", **small), tmp_path / "params.yaml")
    (tmp_path / "reports").mkdir()

    stopped = python(tmp_path, "first", "-c", CTRL_C_IN_AN_UPLOAD)
    assert stopped.returncode == 130, stopped.stderr
    assert stopped.stderr.endswith("interrupted\n")
    done = python(tmp_path, "second", "-m", "stages.train")
    assert done.returncode == 0, done.stderr
    assert "this training was finished already, and its last state is used" in done.stderr
    (stored,) = Store(tmp_path).runs({})
    assert (stored.name, stored.status) == ("second", "FINISHED")
    assert stored.registry.version is None and not list((tmp_path / "mlruns").rglob("*.safetensors"))
