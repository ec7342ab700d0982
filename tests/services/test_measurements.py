"""Measurements that take a while run; those of the contenders in processes of their own, whose threads and memory they set."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.nets import net_of, settings_of
from helpers.staged import ROOT
from helpers.training import one_process

from alexnet.config.training import Training
from alexnet.train.optimizers import build_optimizer
from alexnet.train.session import build_engine
from benchmarks import pipeline, steps, waiting, workflow
from benchmarks.measure import Figures, read
from benchmarks.paper import PAPER
from stages import train
from workflow import recipe

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


def test_our_contender_trains_by_the_trainings_own_loop() -> None:
    """Two figures of two steps leave the weights of four steps of one training: the velocity lives on too."""
    settings = Training.read(settings_of("cifar10-32", batch_size=4, lr=0.01, precision="float32", **{"pipeline.ranks": 1}))
    engine, other = (build_engine(net_of("alexnet-32"), settings, one_process()) for _ in range(2))
    contender = steps.repeated(engine, settings, one_process(), classes=10, steps=2)
    assert contender() > 0 < contender()
    optimizer, batch = build_optimizer(other.parameters(), settings), steps.batch_in_memory(settings, 10, torch.device("cpu"))
    for _ in range(4):
        other.forward_backward(batch)
        other.update(optimizer)
    fresh = net_of("alexnet-32")
    for name, weight in engine.parameters().items():
        assert torch.equal(weight, other.parameters()[name]), name
        assert not torch.equal(weight, fresh.get_parameter(name)), name


@pytest.fixture
def as_before() -> Iterator[None]:
    """What measurements set for their own process is set back."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture
def small_net(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measures the small net, as the paper's takes seconds."""
    monkeypatch.setattr("benchmarks.paper.PAPER", recipe.applied(PAPER, recipe.read("cifar10-32") | {"lr": 1e-6}))


def checked(file: Path) -> Figures:
    """The figures of one round."""
    figures = read(file)
    assert all(len(row.ours) == len(row.theirs) == 1 and row.ours[0] > 0 < row.theirs[0] for row in figures.comparisons)
    return figures


def test_without_bfloat16_instructions_the_wait_is_that_of_a_training_in_float32(
    small_net: None, as_before: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    options = ["--rounds", "1", "--batch", "10", "--steps", "1", "--threads", "1"]
    waiting.main([*options, "--json", str(tmp_path / "figures.json")])
    figures = checked(tmp_path / "figures.json")
    what = "training from 256×256 JPEGs, {}"
    assert [row.what for row in figures.comparisons] == [f"{what.format('float32')}: wait for images", what.format("float32")]
    assert figures.left_out == [what.format("bfloat16")]


def test_without_bfloat16_instructions_the_pipeline_computes_in_float32(
    pair: Any, small_net: None, as_before: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    # The tests' own two ranks, and the contenders in this process: starting others takes longer than what they do.
    monkeypatch.setattr(pipeline, "RankProcesses", lambda count, threads: nullcontext(pair))
    monkeypatch.setattr(pipeline, "apart", lambda builders: nullcontext({name: build() for name, build in builders.items()}))
    options = ["--rounds", "1", "--batch", "2", "--microbatches", "2", "--runs", "1"]
    pipeline.main([*options, "--json", str(tmp_path / "figures.json")])
    figures = checked(tmp_path / "figures.json")
    what = "pipeline of 2 ranks with one thread each, {}, 2 microbatches"
    assert [row.what for row in figures.comparisons] == 2 * [what.format("float32")]
    assert figures.left_out == [what.format("bfloat16")]
    with pytest.raises(SystemExit, match="2"):
        pipeline.main(["--precision", "bfloat16"])


def test_the_wait_is_that_of_a_training_on_real_shards(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small)
    # The small net on small crops of the 256x256 squares.
    params = settings_of("cifar10-32", batch_size=4, epochs=3, lr=1e-6, precision="float32", **{"pipeline.ranks": 1})
    wait, speed = waiting.measured(train.Params.read(params), rounds=2, steps_alone=2)
    assert len(wait.ours) == len(wait.theirs) == len(speed.ours) == len(speed.theirs) == 2
    assert all(0 < waited < whole for waited, whole in zip(wait.ours, wait.theirs, strict=True))
    images = 20
    assert speed.ours == [images / whole for whole in wait.theirs]


def test_a_repro_is_timed_only_where_it_has_nothing_to_do(tmp_path: Path) -> None:
    workflow.one_stage(tmp_path)
    rows = workflow.measured(tmp_path, tmp_path, rounds=1)
    assert [len(row.ours) for row in rows] == [1, 1, 1]
    (tmp_path / "dvc.yaml").write_text("stages: {copy: {cmd: date > b, always_changed: true, outs: [b]}}\n")
    with pytest.raises(RuntimeError, match="a second `dvc repro` should have nothing to do, but it says"):
        workflow.reproduce(tmp_path)
