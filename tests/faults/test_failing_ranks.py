"""A rank that raises, dies or hangs ends the training: the cause is said once and last, and no process stays."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.family import PATIENCE, SLOW_END, Family
from helpers.stage_process import TWO, start

from alexnet import launcher
from alexnet.launcher import first_report


@pytest.fixture(autouse=True)
def _untracked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading MLflow takes a stage longer than these trainings."""
    monkeypatch.setenv("ALEXNET_TRACKING", "off")


RAISES = """
from alexnet import launcher
from alexnet.train.trainer import Trainer
from stages.command import run
from stages.train import Params, main

def broken(self, run):
    raise ValueError("rank 1 is broken")

if launcher.rank() == 1:
    Trainer._end_of_epoch = broken
run(main, Params)
"""

IMPORTS = """
import stages, sys, time
print("importing", file=sys.stderr, flush=True)
time.sleep(100)
"""

STUCK = """
import os, threading, time
from alexnet import launcher
from stages.command import run

os.environ |= {launcher.LAUNCHER: str(os.getppid()), launcher.REPORTS: ".", "RANK": "0", "WORLD_SIZE": "2"}

def stage():
    threading.Thread(target=time.sleep, args=(100,)).start()
    raise ValueError("broken")

run(stage)
"""


def test_a_rank_that_fails_waits_for_none_of_its_threads(tmp_path: Path) -> None:
    """Which may wait for a GPU, and that for another rank."""
    process = start(tmp_path, "-c", STUCK)
    assert (process.communicate(timeout=SLOW_END)[1], process.returncode) == ("", 1)
    said = first_report(tmp_path)
    assert said and said.status == 1 and said.text.splitlines()[-1] == "ValueError: broken"


def test_a_rank_that_is_killed_is_the_last_thing_said(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    family = Family(tmp_path, TWO, "epoch 1/")
    family.ranks[1].kill()
    status, said = family.end()
    cause = "error: rank 1 was killed by SIGKILL; most likely the memory was not enough"
    assert status == 1 and said.splitlines()[-1].startswith(cause)
    assert said.count("error") == 1 and "Traceback" not in said and "gloo" not in said


def test_a_rank_that_hangs_ends_the_training_when_patience_is_over(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    family = Family(tmp_path, TWO, "epoch 1/", **{"machine.patience": PATIENCE})
    family.ranks[0].suspend()
    status, said = family.end()
    assert status == 2 and "Traceback" not in said and said.count("error") == 1
    assert said.splitlines()[-1].startswith(f"error: rank 0 has not answered for machine.patience: {PATIENCE} minutes; ")


def test_an_exception_in_one_rank_is_told_once_and_by_that_rank(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    (tmp_path / "raises.py").write_text(RAISES)
    family = Family(tmp_path, [*TWO[:-2], "raises.py"], "2 ranks, cut at")
    status, said = family.end()
    assert status == 1 and said.splitlines()[-1] == "ValueError: rank 1 is broken"
    assert said.count("Traceback") == 1 and "gloo" not in said


def test_ranks_end_with_a_torchrun_that_was_killed_before_their_imports_are_over(tmp_path: Path) -> None:
    (tmp_path / "imports.py").write_text(IMPORTS)
    family = Family(tmp_path, [*TWO[:-2], "imports.py"], "importing")
    family.torchrun.kill()
    status, said = family.end()
    assert status == -signal.SIGKILL and "Traceback" not in said


def test_a_rank_whose_torchrun_was_killed_before_it_began_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    monkeypatch.setenv(launcher.LAUNCHER, str(ended.pid))
    process = start(tmp_path, "-c", "import stages")
    assert (process.communicate(timeout=SLOW_END)[1], process.returncode) == ("", -signal.SIGKILL)
