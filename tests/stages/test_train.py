"""The stage `train` where it is stopped: what it loses, and what it says."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.staged import ROOT, params_text

TWO_RANKS = """
from alexnet.pipeline.distributed import join
with join(2, 10) as ranks:
    gathered = ranks.gather(ranks.rank + 0.5)
    if ranks.lead:
        print(gathered)
"""
"""A script for torchrun."""

LEFT_BY_A_CLUSTER = {
    "PET_NNODES": "2",
    "PET_RDZV_CONF": "garbage",
    "PET_LOG_DIR": "/nonexistent/logs",
    "TORCHELASTIC_RUN_ID": "job",
    "RANK": "5",
    "LOCAL_RANK": "5",
    "WORLD_SIZE": "16",
    "MASTER_ADDR": "10.0.0.9",
    "MASTER_PORT": "1",
    "GLOO_SOCKET_IFNAME": "ib0",
    "GLOO_DEVICE_TRANSPORT": "TCP_TLS",
    "TORCH_DISTRIBUTED_DEBUG": "verbose",
    "LOGLEVEL": "debug",
    "PYTHON_EXEC": "/bin/true",
}


def test_a_rank_that_the_system_killed_is_reported_with_the_likely_reason(tmp_path: Path) -> None:
    done = torchrun(tmp_path, program="import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", processes="1")
    assert done.returncode == 1
    advice = "most likely the memory was not enough: free some or reduce batch_size, and run this again"
    assert done.stderr == f"error: rank 0 was killed by SIGKILL; {advice}\n"


@pytest.mark.parametrize("limit", [1_800_000, 3_000_000])
def test_too_low_a_limit_of_memory_is_refused_before_torch_is_loaded(limit: int, tmp_path: Path) -> None:
    done = torchrun(tmp_path, "sh", "-c", f'ulimit -v {limit} && exec "$@"', "sh")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert f"in {limit >> 10:,} MiB, the limit of memory here; raise it to 8,192 MiB" in done.stderr


@pytest.mark.parametrize(("limit", "code"), [(1_000_000, "import torch"), (6_000_000, "import torch; torch.empty(1 << 34)")])
def test_a_stage_without_memory_for_torch_says_so_in_one_line(limit: int, code: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(params_text())
    stage = f"from stages.command import run\ndef stage():\n    {code}\nrun(stage)"
    command = ["sh", "-c", f'ulimit -v {limit} && exec "$@"', "sh", sys.executable, "-c", stage]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DVC_ROOT": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert done.stderr.startswith("error: not enough memory; free some, or raise the limit of this shell (`ulimit -v`)")


def torchrun(
    folder: Path, *before: str, program: str = TWO_RANKS, processes: str = "2x1", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Two ranks that exchange a number, as ``dvc.yaml`` starts them, by the command ``before`` if there is one."""
    (folder / "ranks.py").write_text(program)
    command = [*before, sys.executable, "-m", "workflow.torchrun", "--nproc-per-node", processes, "ranks.py"]
    fixed = {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}  # numpy reserves memory for each core, and some tests limit it
    environment = os.environ | fixed | variables
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=250)


def test_ranks_meet_whatever_a_cluster_left_behind_and_though_the_machines_name_does_not_resolve(tmp_path: Path) -> None:
    renamed = ["unshare", "--user", "--map-root-user", "--uts", "sh", "-c", 'hostname name.invalid && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*renamed, "true"], capture_output=True, check=False).returncode:
        renamed = []  # this system does not let a process have a host name of its own
    done = torchrun(tmp_path, *renamed, **LEFT_BY_A_CLUSTER)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0.5, 1.5]\n", "")
