"""Contenders of the training step: this project's own, and the matrix product that bounds it; and what they share with peers."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import repeat
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from alexnet.config.training import Training
from alexnet.input.loader import Batch
from alexnet.models.build import build
from alexnet.models.initialization import initialize
from alexnet.models.network import Network, Switches
from alexnet.models.numerics import prepare_process
from alexnet.pipeline.distributed import Ranks
from alexnet.pipeline.engine import Engine, StepStats
from alexnet.pipeline.timing import StepTiming
from alexnet.train.checkpoint import Checkpoint
from alexnet.train.session import build_engine
from alexnet.train.state import State
from alexnet.train.trainer import Silent, Trainer
from benchmarks.measure import Contender, rate
from benchmarks.paper import paper
from benchmarks.precisions import the_device

CLASSES = 1000


class Stop(Exception):
    """Ends a training after the steps of an epoch."""


class Stopwatch(Silent):
    """Measures the steps of one epoch."""

    waited = 0.0
    """Seconds of waiting for images."""

    def step(self, epoch: int, step: int, count: int, stats: StepStats, timing: StepTiming) -> None:
        """Add up the waiting."""
        self.waited += timing.data

    def idle(self, step: int, shares: list[float]) -> None:
        """End the training, where the validation would follow."""
        finish()
        raise Stop


class OptimizerState(Checkpoint):
    """Keeps the optimiser's state from one training to the next, in memory."""

    def __init__(self, ranks: Ranks) -> None:
        super().__init__(None, 0, ranks)
        self.kept: defaultdict[Tensor, Any] = defaultdict(dict)

    def load(self, parameters: Mapping[str, nn.Parameter], optimizer: Optimizer) -> tuple[State, dict[str, Tensor]]:
        """Go on with that state."""
        optimizer.state = self.kept
        return State(), {}


def epochs(trainer: Trainer, watch: Callable[[], Stopwatch] = Stopwatch) -> Callable[[], tuple[float, float]]:
    """A function that trains one more epoch, without its validation; it gives the seconds of waiting for images and of all.

    ``watch`` makes its observer.
    """
    kept = OptimizerState(trainer.ranks)

    def run() -> tuple[float, float]:
        observer, begun = watch(), time.perf_counter()
        with suppress(Stop):
            trainer.fit(observer, kept)
        return observer.waited, time.perf_counter() - begun

    return run


class InMemory(Trainer):
    """The training's own loop over one batch in memory, ``steps`` an epoch."""

    def __init__(self, engine: Engine, batch: Batch, steps: int, settings: Training, ranks: Ranks) -> None:
        self.engine, self.batch, self.steps_per_epoch, self.settings, self.ranks = engine, batch, steps, settings, ranks

    def _training_batches(self, epoch: int, done: int) -> Iterator[Batch]:
        return repeat(self.batch, self.steps_per_epoch)


def repeated(
    engine: Engine,
    settings: Training,
    ranks: Ranks,
    classes: int,
    steps: int | None = None,
    watch: Callable[[], Stopwatch] = Stopwatch,
) -> Contender:
    """A training on one batch in memory, ``steps`` of them a figure (see ``at_once`` for None); images a second."""
    batch, count = batch_in_memory(settings, classes, ranks.device), steps or at_once()
    run = epochs(InMemory(engine, batch, count, settings, ranks), watch)
    return lambda: batch.count * count / run()[1]


def ours(precision: str, microbatches: int, batch: int, threads: int) -> Contender:
    """A training as users have it, on a batch in memory. ``precision`` may be ``tf32`` on a GPU; images a second."""
    setting = "float32" if precision == "tf32" else precision
    params = paper(precision=setting, batch_size=batch, threads=threads, pipeline__microbatches=microbatches)
    settings, ranks = Training.read(params), Ranks(0, 1, the_device())
    prepare_process(settings.threads)
    _let_tf32(precision == "tf32")
    return repeated(build_engine(net_of(settings), settings, ranks), settings, ranks, CLASSES)


def net_of(settings: Training) -> Network:
    """The net of the settings with its initial weights."""
    net = build(settings.model, CLASSES, Switches.of(settings.model_dump()))
    initialize(net, settings.init, settings.seed)
    return net


def product(precision: str, threads: int) -> Contender:
    """The product of two square matrices of ``side()`` rows; GFLOP/s, a multiply-accumulate being two FLOP."""
    prepare_process(threads)
    _let_tf32(precision == "tf32")
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    stream = torch.Generator().manual_seed(0)
    rows = side()
    left, right = (torch.randn(rows, rows, generator=stream).to(the_device(), kind) for _ in range(2))
    times = 200 if left.is_cuda else 10
    return timed(partial(torch.mm, left, right, out=torch.empty_like(left)), 2 * rows**3 / 1e9, times)


def side() -> int:
    """Rows and columns of the matrices whose product is the limit, large enough to keep the chip busy."""
    return 8192 if torch.cuda.is_available() else 2048


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


def batch_in_memory(settings: Training, classes: int, device: torch.device) -> Batch:
    """The same as the loader gives it."""
    images, labels = random_batch(settings.batch_size, settings.crop_size, classes, device)
    rows = torch.arange(settings.batch_size, device=device)
    return Batch(images.to(memory_format=torch.channels_last), labels, rows, settings.batch_size)


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
