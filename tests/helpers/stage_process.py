"""The stage `train` in a process of its own, as DVC starts it."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Any

import psutil  # type: ignore[import-untyped]
from helpers.nets import settings_of
from helpers.staged import ROOT
from ruamel.yaml import YAML

TWO = ["-m", "workflow.torchrun", "--nproc-per-node", "2", "-m", "stages.train"]
ONE = ["-m", "stages.train"]


def start(folder: Path, *arguments: str, **changes: Any) -> "subprocess.Popen[str]":
    """Python with ``arguments`` in ``folder``, which has the data of a small training: 500 short epochs, but for ``changes``."""
    small = {"batch_size": 8, "epochs": 500, "lr": 0.001, "lr_schedule": "constant", "precision": "float32"}
    YAML().dump(settings_of("cifar10-32", **{**small, **changes}), folder / "params.yaml")
    (folder / "reports").mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "GIT_"))}
    found = {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [kept.get("PYTHONPATH")])])}
    return subprocess.Popen([sys.executable, *arguments], cwd=folder, env=kept | found, stderr=subprocess.PIPE, text=True)


def wait_for(process: "subprocess.Popen[str]", words: str) -> None:
    """Read what ``process`` says until a line has ``words`` in it."""
    assert process.stderr
    said = []
    for line in process.stderr:
        said.append(line)
        if words in line:
            return
    raise AssertionError(f"it ended without {words!r}: {''.join(said)}")


def rest(process: "subprocess.Popen[str]", within: float) -> str:
    """What ``process`` still says until it ends; after ``within`` seconds it is killed with its children."""
    assert process.stderr
    timer = Timer(within, _kill, (process,))
    timer.start()
    try:
        said = process.stderr.read()  # communicate() with a timeout would lose what wait_for has read ahead
        process.wait()
    finally:
        timer.cancel()
    return said


def _kill(process: "subprocess.Popen[str]") -> None:
    for one in [*psutil.Process(process.pid).children(recursive=True), process]:
        with suppress(psutil.NoSuchProcess):
            one.kill()
