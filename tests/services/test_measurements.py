"""Measurements that take a while run, each in a process of its own, whose threads and memory they set."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.staged import ROOT

from benchmarks.measure import read

pytestmark = pytest.mark.services

CONTENDERS = """
from benchmarks import peers, steps
from benchmarks.precisions import precisions
steps.side = lambda: 256
assert steps.ours(precisions()[0], 2, 2, 1)() > 0
for precision in precisions():
    assert steps.product(precision, 1)() > 0
assert peers.plain(2, 1)() > 0
assert peers.torchvision(2, 1)() > 0
assert peers.best_torchvision(precisions()[0], 2, 1)() > 0
"""


def test_every_contender_of_the_step_steps() -> None:
    # In a process of their own: they set its threads and memory.
    subprocess.run([sys.executable, "-c", CONTENDERS], cwd=ROOT, check=True)


def test_the_test_runs_as_a_command_and_leaves_its_figures(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.evaluation", "--batch", "1", "--rounds", "1", "--threads", "1"]
    subprocess.run([*command, "--json", str(file)], cwd=ROOT, check=True)
    (row,) = read(file).comparisons
    assert row.what == "ten-crop test, float32" and row.ours[0] > 0 < row.theirs[0]
