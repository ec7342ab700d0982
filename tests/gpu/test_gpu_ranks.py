"""Two ranks on GPUs give bitwise what one process gives there, and end together."""

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from helpers.family import Family
from helpers.gpu import CUDA, NCCL, SHARED, choose, gpu, ranks_on, two_ranks
from helpers.pipelines import CUTS_AND_SCHEDULES, recipe
from helpers.stage_process import TWO
from helpers.training import Trained, hashes, session_of, trained

from alexnet.config.nets import NETS
from alexnet.models.numerics import prepare_process
from alexnet.pipeline.distributed import Ranks, in_replicas
from benchmarks.ranks import RankProcesses

pytestmark = gpu

SOON = 15
"""Seconds in which a training ends of which a rank has failed."""

RAISES = """
import sys
from alexnet import launcher
from alexnet.pipeline.pipeline import Pipeline
from stages.command import run
from stages.train import Params, main

plain, calls = Pipeline.forward_backward, []

def broken(self, batch):
    calls.append(batch)
    if len(calls) == 5:
        print("now", file=sys.stderr, flush=True)
        raise ValueError("rank 0 is broken")
    return plain(self, batch)

if launcher.rank() == 0:
    Pipeline.forward_backward = broken
run(main, Params)
"""


@pytest.fixture(scope="module", params=[SHARED, NCCL])
def two(request: pytest.FixtureRequest) -> Iterator[RankProcesses]:
    with two_ranks(request.param) as processes:
        yield processes


def alone(settings: dict[str, Any], folder: Path) -> Trained:
    prepare_process(threads=1)
    return trained(ranks_on(CUDA), settings, folder)


ONCE: dict[tuple[str, str], Trained] = {}
"""What one process gives, by net and precision; no cut changes it."""


def compare(two: RankProcesses, settings: dict[str, Any], folder: Path) -> None:
    key = settings["model"], settings["precision"]
    if key not in ONCE:
        ONCE[key] = alone(settings, folder)
    *expected, whole = ONCE[key]
    (*figures, weights), (*others_figures, others) = two(trained, settings, folder)
    assert figures == expected == others_figures
    assert weights and others and not weights.keys() & others.keys()
    assert weights | others == whole


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("cuts", "schedule"), CUTS_AND_SCHEDULES)
def test_two_ranks_give_the_weights_of_one(
    two: RankProcesses, tiny: Path, precision: str, cuts: list[str], schedule: str
) -> None:
    compare(two, recipe("alexnet-32", {"precision": precision, "pipeline.cuts": cuts, "pipeline.schedule": schedule}), tiny)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("cuts", "schedule"), [*CUTS_AND_SCHEDULES[:4], (["fc6"], "1F1B"), (["fc8"], "InterleavedZeroBubble")])
def test_two_ranks_give_the_weights_of_one_for_the_papers_net(
    two: RankProcesses, few: Path, precision: str, cuts: list[str], schedule: str
) -> None:
    pipeline = {"pipeline.cuts": cuts, "pipeline.schedule": schedule}
    compare(two, recipe("alexnet", {"precision": precision, **pipeline}), few)


@pytest.mark.parametrize("model", [model for model in NETS if model not in ("alexnet", "alexnet-32")])
def test_two_ranks_give_the_weights_of_one_for_every_net(two: RankProcesses, few: Path, tiny: Path, model: str) -> None:
    compare(two, recipe(model, {"pipeline.cuts": [NETS[model].cuts[0]]}), few if NETS[model].crops[0] > 32 else tiny)


def trained_in_replicas(ranks: Ranks, settings: dict[str, Any], folder: Path) -> Trained:
    return trained(in_replicas(ranks, 2, patience=10), settings, folder)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("model", ["alexnet", "alexnet-32"])
def test_two_replicas_give_the_weights_of_one_process(
    two: RankProcesses, few: Path, tiny: Path, model: str, precision: str
) -> None:
    settings = recipe(model, {"precision": precision, "pipeline.ranks": 1, "pipeline.replicas": 2})
    folder = few if model == "alexnet" else tiny
    expected = alone(settings, folder)
    assert two(trained_in_replicas, settings, folder) == 2 * [expected]


def place(ranks: Ranks) -> tuple[str, str]:
    return str(ranks.device), str(ranks.boundary)


def gathered(ranks: Ranks, settings: dict[str, Any], folder: Path) -> tuple[dict[str, str], list[float]]:
    """The whole net's tensors, and a number of each rank."""
    return hashes(session_of(ranks, settings, folder).engine.full_state_dict()), ranks.gather(ranks.rank + 0.5)


def test_every_rank_gets_the_whole_net_and_the_others_numbers(two: RankProcesses, tiny: Path) -> None:
    first, second = two(gathered, recipe("alexnet-32"), tiny)
    assert (
        first == second == (hashes(session_of(ranks_on(CUDA), recipe("alexnet-32"), tiny).engine.full_state_dict()), [0.5, 1.5])
    )
    assert two(place) in ([("cuda:0", "cpu")] * 2, [("cuda:0", "cuda:0"), ("cuda:1", "cuda:1")])


@pytest.fixture(params=[SHARED, NCCL])
def folder(request: pytest.FixtureRequest, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With the data of a small training, which two ranks do."""
    choose(request.param, monkeypatch)
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_an_exception_in_a_rank_ends_the_other_soon_and_is_said_last(folder: Path) -> None:
    (folder / "raises.py").write_text(RAISES)
    family = Family(folder, [*TWO[:-2], "raises.py"], "now")
    status, said = family.end(SOON)
    assert status == 1 and said.splitlines()[-1] == "ValueError: rank 0 is broken"
    assert said.count("Traceback") == 1


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_is_killed_ends_the_other_soon_and_is_named_last(folder: Path, rank: int) -> None:
    family = Family(folder, TWO, "epoch 1/")
    family.ranks[rank].kill()
    status, said = family.end(SOON)
    assert status == 1 and said.splitlines()[-1].startswith(f"error: rank {rank} was killed by SIGKILL; ")
    assert said.count("error") == 1 and "Traceback" not in said


def test_ctrl_c_stops_both_ranks_soon(folder: Path) -> None:
    family = Family(folder, TWO, "epoch 1/")
    family.torchrun.send_signal(signal.SIGINT)
    status, said = family.end(SOON)
    assert status == 130 and said.splitlines()[-1].startswith("stopped after ")
    assert "Traceback" not in said


@pytest.mark.parametrize("killed", [signal.SIGTERM, signal.SIGKILL])
def test_no_rank_outlives_torchrun(folder: Path, killed: signal.Signals) -> None:
    family = Family(folder, TWO, "epoch 1/")
    begun = time.monotonic()
    family.torchrun.send_signal(killed)
    status, said = family.end(SOON)
    assert status == (-killed if killed == signal.SIGKILL else 128 + killed) and "Traceback" not in said
    psutil.wait_procs(family.processes, timeout=10)
    assert time.monotonic() - begun < SOON
    assert not any(process.is_running() for process in family.processes)
