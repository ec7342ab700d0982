"""The stage `train` under torchrun gets real signals, stops so that nothing is lost, and says in one line how to go on."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.stage_process import ONE, TWO, start, wait_for
from helpers.staged import ROOT

from stages.paths import MODEL


@pytest.fixture(autouse=True)
def _untracked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading MLflow takes a stage longer than these trainings."""
    monkeypatch.setenv("ALEXNET_TRACKING", "off")


WAITS = """
import sys, time
from alexnet.train.stopping import FINISH, Stopping
from stages.command import run
from stages.train import Params, main

step = Stopping.step

def with_steps_left(self, epoch, left):
    until = time.monotonic() + 60
    if (epoch, left) == (2, 5):
        print("five steps left", file=sys.stderr, flush=True)
    while (epoch, left) == (2, 5) and not (self.folder / FINISH).exists() and time.monotonic() < until:
        time.sleep(0.01)
    step(self, epoch, left)

Stopping.step = with_steps_left
run(main, Params)
"""
"""The stage, whose second epoch waits for Ctrl-C before its last five steps."""


def stopped(folder: Path, number: int, words: str, arguments: list[str] = TWO, **changes: Any) -> tuple[int, str]:
    """Two ranks whose torchrun gets the signal once they have said ``words``: the exit status, and what they said after them."""
    process = start(folder, *arguments, **changes)
    wait_for(process, words)
    assert process.stderr
    process.send_signal(number)
    said = process.stderr.read()
    return process.wait(), said


def test_ctrl_c_ends_the_epoch_and_the_model_can_be_kept(tiny: Path, tmp_path: Path) -> None:
    """``tests/train/test_life.py`` compares its bytes with those of an undisturbed training."""
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    (tmp_path / "waits.py").write_text(WAITS)
    status, said = stopped(tmp_path, signal.SIGINT, "five steps left", [*TWO[:-2], "waits.py"], batch_size=2)
    *_, last = said.splitlines()
    assert status == 130 and "Traceback" not in said, said
    assert last == "stopped after epoch 2; dvc exp run -S epochs=2 keeps this model, and the same command goes on"
    assert re.search("stopping after epoch 2, in about .*; Ctrl-C again stops now", said), said
    kept = start(tmp_path, *ONE, batch_size=2, epochs=2, **{"pipeline.ranks": 1})
    said = kept.communicate()[1]
    assert "going on from the same training with epochs: 500, after epoch 2" in said
    assert kept.returncode == 0 and (tmp_path / MODEL).exists()


def test_sigterm_saves_what_a_short_training_has_and_says_so_in_one_line(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    status, said = stopped(tmp_path, signal.SIGTERM, "epoch 1/", lr_schedule="cosine")
    *_, last = said.splitlines()
    assert status == 128 + signal.SIGTERM and "Traceback" not in said, said
    assert re.match(r"stopped after (step \d+ of )?epoch \d+; the same command goes on from there \(lr_schedule: cosine", last)
    assert len(list(tmp_path.glob(".checkpoints/*/*/state.json"))) == 1


INTERRUPTS = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "pydantic":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
"""
"""Python runs it first: Ctrl-C comes while the first of the large packages is imported."""


@pytest.mark.parametrize("module", ["stages.download", "stages.train", "stages.evaluate", "workflow.check", "workflow.recipe"])
def test_ctrl_c_during_the_imports_is_one_word(tmp_path: Path, module: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTS)
    found = subprocess.run(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stderr) == (-signal.SIGINT, "interrupted\n")
