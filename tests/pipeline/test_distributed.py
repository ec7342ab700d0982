"""Who the ranks are, and the error of a process that does not fit."""

import math
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.staged import ROOT
from helpers.waiting import until

from alexnet.errors import UserError
from alexnet.launcher import LAUNCHER
from alexnet.models.numerics import prepare_process
from alexnet.pipeline import distributed
from alexnet.pipeline.distributed import Ranks, join
from alexnet.pipeline.engine import StepStats

Place = tuple[int, int, torch.device]


def place_of(ranks: Ranks | None) -> Place | None:
    return (ranks.rank, ranks.count, ranks.device) if ranks else None


ALONE: Place = (0, 1, torch.device("cpu"))


def said_by(ranks: Ranks, values: StepStats, wish: int) -> tuple[StepStats, int]:
    """What every rank hears where each of them has other values, and only the last one wants something."""
    own = values + StepStats(10 * ranks.rank, 0, 0)
    return ranks.from_last(own, wish if ranks.rank == ranks.count - 1 else 0)


@pytest.mark.parametrize("wish", [0, 1, 2])
def test_all_ranks_know_what_the_last_one_says(pair: Any, wish: int) -> None:
    assert pair(said_by, StepStats(1 / 3, 1e300, 2.0), wish) == 2 * [(StepStats(1 / 3 + 10, 1e300, 2.0), wish)]
    (first, _), (second, _) = pair(said_by, StepStats(math.nan, math.inf, 0.1), wish)
    assert math.isnan(first.loss) and math.isnan(second.loss)
    assert (first.top1_wrong, first.top5_wrong) == (second.top1_wrong, second.top5_wrong) == (math.inf, 0.1)


def last_rank_first(ranks: Ranks, flag: Path) -> StepStats:
    """Rank 0 calls ``from_last`` only when rank 1 has returned from it."""
    if ranks.rank == 0:
        until(flag.exists)
    said, _ = ranks.from_last(StepStats(ranks.rank, 0.0, 0.0))
    if ranks.rank == 1:
        flag.touch()
    ranks.wait_for_sends()
    return said


def test_the_last_rank_does_not_wait_for_the_others(pair: Any, tmp_path: Path) -> None:
    assert pair(last_rank_first, tmp_path / "returned") == 2 * [StepStats(1.0, 0.0, 0.0)]


def gathered(ranks: Ranks) -> list[float]:
    return ranks.gather(ranks.rank + 0.5)


def test_every_rank_gathers_what_each_one_has(pair: Any) -> None:
    assert pair(gathered) == [[0.5, 1.5], [0.5, 1.5]]


def test_ranks_that_nobody_started_are_refused_with_the_command() -> None:
    with pytest.raises(UserError, match=r"pipeline\.ranks: 2 needs 2 processes, not 1; run `.*--nproc-per-node 2"), join(2, 10):
        pass


def test_replicas_need_processes_of_their_own() -> None:
    words = r"pipeline\.ranks: 2 times pipeline\.replicas: 3 needs 6 processes, not 1; run `.*--nproc-per-node 6"
    with pytest.raises(UserError, match=words), join(2, 10, replicas=3):
        pass


def test_one_rank_needs_no_process_group() -> None:
    with join(1, 10) as ranks:
        assert ranks and ranks.lead and place_of(ranks) == ALONE
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize("launcher", [None, "1", str(os.getpid())], ids=["none", "another", "this process"])
def test_what_another_launcher_left_in_the_environment_makes_no_rank(
    monkeypatch: pytest.MonkeyPatch, launcher: str | None
) -> None:
    if launcher:
        monkeypatch.setenv(LAUNCHER, launcher)
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID"):
        monkeypatch.setenv(name, "7")
    with join(1, 10) as ranks:
        assert place_of(ranks) == ALONE


SETTINGS_OF_A_PROCESS = """
import sys, torch
from helpers import nets
from alexnet.models.numerics import prepare_process
nets.meta_net()
prepare_process(2)
print(torch.get_num_threads(), torch.is_deterministic_algorithms_warn_only_enabled())
print(*sorted({"torch._dynamo", "torch._inductor"} & sys.modules.keys()))
"""


def test_a_process_builds_a_net_and_takes_kernels_that_repeat_themselves_without_the_compiler() -> None:
    """It takes a second to load."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    command = [sys.executable, "-c", SETTINGS_OF_A_PROCESS]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert said == "2 True\n\n"


def test_a_process_has_the_threads_of_its_setting() -> None:
    before = torch.get_num_threads()
    prepare_process(threads=3)
    assert torch.get_num_threads() == 3
    prepare_process(threads=before)


@pytest.mark.parametrize(("gpus", "rank", "runs"), [(1, 0, True), (1, 1, False)])
def test_with_one_gpu_rank_0_runs_all_stages(monkeypatch: pytest.MonkeyPatch, gpus: int, rank: int, runs: bool) -> None:
    monkeypatch.setattr(distributed, "usable_gpus", lambda: gpus)
    monkeypatch.setenv(LAUNCHER, str(os.getppid()))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", str(rank))
    with join(2, 10) as ranks:
        assert place_of(ranks) == ((0, 1, torch.device("cuda", 0)) if runs else None)


def test_more_ranks_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "usable_gpus", lambda: 3)
    monkeypatch.setenv(LAUNCHER, str(os.getppid()))
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "0")
    with (
        pytest.raises(UserError, match=r"pipeline\.ranks: 4 is more than the 3 GPUs of this machine; set it to 3, or to 1"),
        join(4, 10),
    ):
        pass


@pytest.mark.parametrize(("gpus", "refused"), [(0, False), (1, True), (2, False)])
def test_each_rank_of_several_machines_needs_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch, gpus: int, refused: bool) -> None:
    monkeypatch.setattr(distributed, "usable_gpus", lambda: gpus)
    place = {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1", "GROUP_RANK": "1", "GROUP_WORLD_SIZE": "2"}
    for name, value in {LAUNCHER: str(os.getppid()), **place}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(distributed, "_join_group", lambda rank, ranks, *_: Ranks(rank, ranks, torch.device("cpu")))
    reason = r"machine\.nodes: 2 puts 2 ranks on each node, more than its GPUs, 1; take more nodes or fewer ranks"
    with pytest.raises(UserError, match=reason) if refused else nullcontext(), join(4, 10) as ranks:
        assert ranks and ranks.node == range(2, 4)


@pytest.mark.parametrize(("stages", "replicas", "fewer"), [(2, 2, "set pipeline.ranks to 1, or put"), (1, 4, "put")])
def test_more_replicas_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch, stages: int, replicas: int, fewer: str) -> None:
    monkeypatch.setattr(distributed, "usable_gpus", lambda: 3)
    for name, value in {LAUNCHER: str(os.getppid()), "WORLD_SIZE": "4", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as refusal, join(stages, 10, replicas):
        pass
    assert str(refusal.value) == (
        f"pipeline.ranks: {stages} times pipeline.replicas: {replicas} is more than the 3 GPUs of this machine; {fewer} "
        "CUDA_VISIBLE_DEVICES=0 in front of the command, and the first does it all"
    )


def test_the_launchers_sigterm_becomes_an_exit_and_is_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ending, join(1, 10):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert ending.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(("gpus", "fails", "destroyed"), [(0, True, True), (1, True, True), (2, True, False), (2, False, True)])
def test_a_rank_that_fails_on_nccl_does_not_wait_for_the_others(
    monkeypatch: pytest.MonkeyPatch, gpus: int, fails: bool, destroyed: bool
) -> None:
    calls: list[int] = []
    for name, value in {LAUNCHER: str(os.getppid()), "WORLD_SIZE": "2", "RANK": "0", distributed.SHARE: "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(distributed, "usable_gpus", lambda: gpus)
    monkeypatch.setattr(distributed, "_join_group", lambda *_: Ranks(0, 2, torch.device("cuda", 0)))
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: calls.append(0))
    with pytest.raises(ValueError) if fails else nullcontext(), join(2, 10):
        if fails:
            raise ValueError("broken")
    assert bool(calls) == destroyed


STUCK = """
import ctypes, signal, sys
from alexnet.pipeline import distributed
distributed.GRACE = 0.5
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
signal.signal(signal.SIGINT, lambda *_: None)
distributed._end_in_time()
lock, libc = ctypes.create_string_buffer(64), ctypes.CDLL(None)
libc.pthread_mutex_lock(lock)
print("stuck", flush=True)
libc.pthread_mutex_lock(lock)
"""


def test_a_rank_that_gets_to_no_handler_ends_in_time_all_the_same() -> None:
    """As one whose GPU waits for another rank: here the main thread waits in C for a lock that nobody opens."""
    command = [sys.executable, "-c", STUCK]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout and process.stdout.readline() == "stuck\n"
        process.send_signal(signal.SIGINT)  # is no reason to end
        time.sleep(0.7)
        assert process.poll() is None
        process.terminate()
        assert process.wait(timeout=20) == 143
