"""What the tests that need GPUs share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from helpers.nets import settings_of
from torch import Tensor

from alexnet.config.nets import NETS
from alexnet.config.training import Training
from alexnet.input.loader import IGNORE, Batch
from alexnet.models.numerics import prepare_process
from alexnet.pipeline.distributed import SHARE, Ranks
from benchmarks.ranks import RankProcesses

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
SHARED, NCCL = "two ranks on one GPU", "two GPUs"

gpu = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")]
"""Marks of a module."""


def ranks_on(device: torch.device) -> Ranks:
    """The place of a process that trains by itself on ``device``."""
    return Ranks(0, 1, device)


def require(place: str) -> None:
    """Skip the test if there are not two GPUs and ``place`` needs them."""
    if place == NCCL and torch.cuda.device_count() < 2:
        pytest.skip("there is one GPU")


def choose(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the trainings that the test starts run two ranks there."""
    require(place)
    if place == SHARED:
        monkeypatch.setenv(SHARE, "1")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")


@contextmanager
def two_ranks(place: str) -> Iterator[RankProcesses]:
    """Two processes that are ranks there."""
    require(place)
    with pytest.MonkeyPatch.context() as patch:
        choose(place, patch)
        processes = RankProcesses(2, threads=1)
    with processes:
        yield processes


def settings(model: str, precision: str, **changes: Any) -> Training:
    """The settings of a net, as its recipe has them, with four microbatches."""
    pipeline = {"pipeline.microbatches": 4, "pipeline.ranks": 1}
    return Training.read(settings_of(NETS[model].recipe, **{"precision": precision, **pipeline, **changes}))


def batch_of(model: Training, rows: int, classes: int, device: torch.device, precision: torch.dtype = torch.float32) -> Batch:
    """Random images, the same on every device; the last row is padding."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(rows, model.crop_size, model.crop_size, 3, generator=generator, dtype=precision).permute(0, 3, 1, 2)
    labels = torch.randint(classes, (rows,), generator=generator)
    labels[-1] = IGNORE
    return Batch(images.to(device), labels.to(device), torch.arange(rows, device=device), rows - 1)


def distance(ours: Tensor, theirs: Tensor) -> float:
    """The norm of the difference by the norm of ``theirs``."""
    ours, theirs = ours.detach().cpu().double(), theirs.detach().cpu().double()
    return float((ours - theirs).norm() / theirs.norm())


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute as a training does: deterministic, without TF32, in one thread."""
    threads = torch.get_num_threads()
    prepare_process(threads=1)
    yield
    torch.set_num_threads(threads)
