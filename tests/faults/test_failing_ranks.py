"""A rank that raises, dies or hangs ends the training: the cause is said once and last, and no process stays."""

import shutil
import signal
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
from helpers.stage_process import TWO, start, wait_for

PATIENCE = 0.1
"""Minutes."""
SLOW_END = 60
"""Seconds that a process of a loaded machine may take to end: the lead may be loading MLflow."""

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


class Family:
    """torchrun and two ranks that train, and what becomes of them."""

    def __init__(self, folder: Path, arguments: list[str], words: str, **changes: Any) -> None:
        """Returns when they have said ``words``."""
        self.torchrun = start(folder, *arguments, **changes)
        wait_for(self.torchrun, words)
        ranks = psutil.Process(self.torchrun.pid).children()
        self.ranks = sorted(ranks, key=lambda rank: int(rank.environ()["RANK"]))
        self.processes = psutil.Process(self.torchrun.pid).children(recursive=True)

    def end(self) -> tuple[int, str]:
        """The exit status and what was said, after all processes have ended."""
        try:
            said = self.torchrun.communicate(timeout=SLOW_END + 60 * PATIENCE)[1]
            _, alive = psutil.wait_procs(self.processes, timeout=10)
            assert not alive
            return self.torchrun.returncode, said
        finally:
            for process in self.processes:
                if process.is_running():
                    process.kill()


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


def test_ranks_end_with_a_torchrun_that_was_killed(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    family = Family(tmp_path, TWO, "2 ranks, cut at")
    family.torchrun.kill()
    status, said = family.end()
    assert status == -signal.SIGKILL and "Traceback" not in said
