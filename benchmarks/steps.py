"""Contenders of the training step: this project's own, and the matrix product that bounds it; and what they share with peers."""

import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from functools import partial
from io import StringIO
from itertools import repeat
from typing import Any, cast
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from alexnet.input.augment import Normalization
from alexnet.input.loader import Batch
from alexnet.input.shards import Shards
from alexnet.models.initialization import initialize
from alexnet.models.build import build
from alexnet.models.network import Switches
from alexnet.pipeline.pipeline import OneProcess, Pipeline
from alexnet.pipeline.distributed import Runtime, prepare_process
from alexnet.config.training import Training
from alexnet.train import loop
from alexnet.train.checkpoint import Checkpoint
from alexnet.train.session import build_engine
from alexnet.train.state import Epoch
from benchmarks.measure import Contender, rate
from benchmarks.paper import paper
from benchmarks.precisions import the_device

CLASSES = 1000
SIDE = 2048
"""Rows and columns of the matrices whose product is the limit."""


class Feed:
    """A loader that notes, of each pass over a split, the seconds waited for batches and the seconds until the last is used."""

    def __init__(self, batches: Callable[..., Iterator[Batch]]) -> None:
        self.batches = batches
        self.passes: list[tuple[float, float]] = []

    def __call__(self, *arguments: Any, **named: Any) -> Iterator[Batch]:
        begun, waited = time.perf_counter(), 0.0
        batches = self.batches(*arguments, **named)
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            waited += time.perf_counter() - asked
            if batch is None:
                break
            yield batch
        finish()
        self.passes.append((waited, time.perf_counter() - begun))

    def epoch(self, training: Iterator[Epoch]) -> tuple[float, float]:
        """Run one epoch of a training on this feed, and give what its training pass took; the validation is left out."""
        with patch.object(loop, "batches", self), redirect_stderr(StringIO()):
            next(training)
        return self.passes[-2]


def repeated(
    engine: OneProcess | Pipeline, settings: Training, runtime: Runtime, classes: int, steps: int | None = None
) -> Contender:
    """The training's own loop over one batch in memory; images a second.

    ``steps`` of them (see ``at_once`` for None), and then one batch of validation that is not counted.
    """
    size, steps = settings.batch_size, steps or at_once()
    images, labels = random_batch(size, settings.crop_size, classes, runtime.device)
    batch = Batch(images.to(memory_format=torch.channels_last), labels, size)
    feed = Feed(lambda split, *_, **__: repeat(batch, len(split) // size))
    # The loop asks no more of a split than its length.
    splits = cast(Shards, range(size * steps)), cast(Shards, range(size))
    normalization = Normalization.of(torch.zeros(3, 256, 256), [1.0, 1.0, 1.0], 0, runtime.device)
    whole = loop.Images(*splits, normalization, np.zeros((3, 3)), flip=True, workers=0)
    endless = settings.model_copy(update={"epochs": 10**9})
    training = loop.fit(
        engine, whole, endless, runtime, observe=lambda values, step: None, checkpoint=Checkpoint(None, 0, runtime)
    )
    return lambda: size * steps / feed.epoch(training)[1]


def ours(precision: str, microbatches: int, batch: int, threads: int) -> Contender:
    """A training as users have it, on a batch in memory. ``precision`` may be ``tf32`` on a GPU; images a second."""
    setting = "float32" if precision == "tf32" else precision
    params = paper(precision=setting, batch_size=batch, threads=threads, pipeline__microbatches=microbatches)
    settings = Training.read(params)
    prepare_process(settings.threads)
    _let_tf32(precision == "tf32")
    net = build(settings.model, CLASSES, Switches.of(params))
    initialize(net, settings.init, settings.seed)
    runtime = Runtime(0, 1, the_device())
    return repeated(build_engine(net, settings, runtime), settings, runtime, CLASSES)


def product(precision: str, threads: int) -> Contender:
    """The product of two square matrices of ``SIDE`` rows; GFLOP/s, a multiply-accumulate being two FLOP."""
    prepare_process(threads)
    _let_tf32(precision == "tf32")
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    stream = torch.Generator().manual_seed(0)
    left, right = (torch.randn(SIDE, SIDE, generator=stream).to(the_device(), kind) for _ in range(2))
    times = 200 if left.is_cuda else 10
    return timed(partial(torch.mm, left, right, out=torch.empty_like(left)), 2 * SIDE**3 / 1e9, times)


def at_once() -> int:
    """Steps that make a figure: one on a CPU, where it takes a second or more, twenty on a GPU."""
    return 20 if torch.cuda.is_available() else 1


def finish() -> None:
    """Wait for what a GPU still has to do."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def random_batch(batch: int, side: int, classes: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images (N, 3, side, side) of centred random bytes, float32, and labels (N,)."""
    stream = torch.Generator().manual_seed(0)
    images = torch.randint(256, (batch, 3, side, side), generator=stream).float() - 128
    return images.to(device), torch.randint(classes, (batch,), generator=stream).to(device)


def timed(work: Callable[[], object], amount: float, times: int | None = None) -> Contender:
    """``amount`` a call, a second, over ``times`` calls (see ``at_once`` for None)."""
    calls = times or at_once()

    def run() -> None:
        for _ in range(calls):
            work()
        finish()

    return lambda: rate(run, calls) * amount


def _let_tf32(allowed: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed
