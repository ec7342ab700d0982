"""Clones of this repository as it stands, in which a user's commands run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from helpers.nets import settings_of
from helpers.staged import ROOT
from ruamel.yaml import YAML

SMALL = {
    **{"data.source": "digits", "data.limit": 20, "data.blends": 1, "batch_size": 8, "epochs": 2, "lr": 0.001},
    **{"precision": "float32", "pipeline.ranks": 2, "pipeline.cuts": ["conv3"], "pipeline.schedule": "InterleavedZeroBubble"},
    "pipeline.microbatches": 2,
}
"""A short training on a few digits, over two ranks."""


def activated() -> dict[str, str]:
    """The variables of an activated environment."""
    drop = ("DVC_", "MLFLOW_", "GIT_", "OMP_")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(drop)}
    return variables | {"PATH": f"{Path(sys.executable).parent}:{variables['PATH']}"}


def execute(folder: Path, *command: str, status: int = 0, patience: float = 400) -> str:
    """Run a command as in an activated environment, ``patience`` seconds at most, and give what it printed."""
    result = subprocess.run(
        command,
        cwd=folder,
        env=activated(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=patience,
    )
    assert result.returncode == status, result.stdout[-6000:]
    return result.stdout


def clone(folder: Path, params: dict[str, Any]) -> Path:
    """The repository as it stands with these settings, as one commit."""
    for name in execute(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0"):
        if name and (ROOT / name).is_file() and not name.startswith("reports/") and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    YAML().dump(params, folder / "params.yaml")
    execute(folder, "git", "init", "-q")
    for key, value in (("user.name", "test"), ("user.email", "test@localhost"), ("commit.gpgsign", "false")):
        execute(folder, "git", "config", key, value)
    execute(folder, "git", "add", "-A")
    execute(folder, "git", "commit", "-qm", "start")
    return folder


def reproduced(folder: Path) -> Path:
    """A clone, set to the small net, in which `dvc repro` has run."""
    clone(folder, settings_of("cifar10-32", **SMALL))
    execute(folder, "dvc", "repro")
    execute(folder, "git", "add", "-A")
    execute(folder, "git", "commit", "-qm", "results")
    return folder


def runs(folder: Path) -> pd.DataFrame:
    """MLflow's runs, read in a process of their own."""
    program = (
        "import mlflow, sys; mlflow.set_tracking_uri('sqlite:///mlflow.db');"
        "mlflow.search_runs(experiment_names=['alexnet']).to_json('runs.json', default_handler=str)"
    )
    execute(folder, "python", "-c", program)
    table = pd.read_json(folder / "runs.json")
    (folder / "runs.json").unlink()
    return table
