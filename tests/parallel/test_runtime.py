"""Who the ranks are, and how a process that does not fit is told so."""

from typing import Any

import pytest
import torch

from alexnet.errors import UserError
from alexnet.parallel.runtime import Runtime, join, prepare_process, supports_bfloat16


def said_by(runtime: Runtime, values: list[float]) -> list[float]:
    return runtime.agree([value + 10 * runtime.rank for value in values])


def test_all_ranks_know_what_the_last_one_says(pair: Any) -> None:
    assert pair(said_by, [0.1, float("nan"), 1e300])[0][::2] == [10.1, 1e300 + 10]
    assert pair(said_by, [1 / 3])[0] == pair(said_by, [1 / 3])[1] == [1 / 3 + 10]


def test_ranks_that_nobody_started_are_refused_with_the_command() -> None:
    with pytest.raises(UserError, match=r"pipeline\.ranks: 2 needs as many processes, not 1; run `.*--nproc-per-node 2"), join(2):
        pass


def test_one_rank_needs_no_process_group() -> None:
    with join(1) as runtime:
        assert runtime == Runtime(0, 1, torch.device("cpu"))
        assert runtime.lead
    assert not torch.distributed.is_initialized()


def test_a_process_has_the_threads_of_its_setting() -> None:
    before = torch.get_num_threads()
    prepare_process(threads=3)
    assert torch.get_num_threads() == 3
    prepare_process(threads=before)


def test_bfloat16_support_is_read_from_the_cpu() -> None:
    with open("/proc/cpuinfo") as file:
        flags = file.read()
    assert supports_bfloat16(torch.device("cpu")) == any(flag in flags for flag in ("avx512_bf16", "amx_bf16", " bf16"))
