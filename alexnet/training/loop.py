"""The training loop: epochs of steps, a validation after each, and decisions that all ranks take together."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from alexnet.data.augment import Normalization, Views, center_views, order, random_views
from alexnet.data.loading import Batch, batches
from alexnet.data.shards import Shards
from alexnet.errors import UserError
from alexnet.parallel.meter import Lap
from alexnet.parallel.pipeline import IGNORE, OneProcess, Pipeline
from alexnet.parallel.runtime import Runtime
from alexnet.settings.training import Training
from alexnet.training.optim import build_optimizer, set_rate
from alexnet.training.progress import Progress
from alexnet.training.schedule import SCHEDULES

Observe = Callable[[dict[str, float], int], None]


@dataclass(frozen=True)
class Images:
    """What a training reads: both splits, and what becomes of their pixels."""

    train: Shards
    val: Shards
    normalization: Normalization
    noise: np.ndarray
    """(3, 3), see ``alexnet.data.colors.color_axes``."""
    flip: bool
    workers: int


@dataclass(frozen=True)
class Epoch:
    """A row of train.csv. Errors are fractions of 1, losses are means over images."""

    epoch: int
    lr: float
    train_loss: float
    train_top1_error: float
    val_loss: float
    val_top1_error: float
    val_top5_error: float


def fit(engine: OneProcess | Pipeline, images: Images, settings: Training, runtime: Runtime, observe: Observe) -> Iterator[Epoch]:
    """Train ``engine`` for ``settings.epochs`` epochs and give each epoch's figures, the same on every rank.

    ``observe`` is told of each step's ``step_loss`` and ``images_per_second`` and of the part of its time that this rank waited
    for images, ``data_wait``; after each epoch, of the part that each rank was idle, ``idle_rank_N``. When the iterator ends the
    engine holds the weights that ``settings.keep`` asks for. Raises ``UserError`` where the loss is not finite, on every rank at
    once.
    """
    parameters = [parameter for _, parameter in engine.named_parameters()]
    optimizer = build_optimizer(engine.named_parameters(), settings)
    schedule = SCHEDULES[settings.lr_schedule](settings)
    lr, steps = settings.lr, math.ceil(len(images.train) / settings.batch_size)
    best, best_epoch, kept = math.inf, 0, []
    with Progress(settings.epochs, steps, settings.batch_size, shown=runtime.lead) as progress:
        for epoch in range(1, settings.epochs + 1):
            set_rate(optimizer, lr)
            sums = np.zeros(2)
            epoch_lap = Lap()
            engine.meter.lap()
            for step, batch in enumerate(_training_batches(engine, images, settings, epoch), (epoch - 1) * steps):
                rows = step * settings.batch_size + torch.arange(settings.batch_size, device=runtime.device)
                told = _figures(engine.step(batch.images, batch.labels, rows), batch.labels)
                loss, wrong, _ = runtime.agree(told)
                _refuse_divergence(loss, f"at step {step + 1} (epoch {epoch})", settings)
                lap = engine.meter.lap()
                epoch_lap += lap
                engine.form_gradients()
                with engine.meter.span("update"):
                    optimizer.step()
                    optimizer.zero_grad()
                sums += (loss, wrong)
                speed = {"images_per_second": batch.count / lap.whole, "data_wait": lap.data_wait}
                observe({"step_loss": loss / batch.count, **speed}, step + 1)
                progress.step(epoch, batch.count, loss / batch.count, wrong / batch.count)
            idle = runtime.gather(epoch_lap.idle)
            observe({f"idle_rank_{rank}": share for rank, share in enumerate(idle)}, epoch * steps)
            val_loss, val_top1, val_top5 = validate(engine, images, settings, runtime)
            _refuse_divergence(val_loss, f"in the validation after epoch {epoch}", settings)
            train_loss, train_top1 = sums / len(images.train)
            figures = Epoch(epoch, lr, float(train_loss), float(train_top1), val_loss, val_top1, val_top5)
            progress.epoch(epoch, figures.train_loss, val_loss, val_top1)
            if val_top1 < best:
                best, best_epoch = val_top1, epoch
                kept = [parameter.detach().clone() for parameter in parameters] if settings.keep == "best" else []
            lr = schedule.after(epoch, val_top1)
            yield figures
            if settings.early_stop and epoch - best_epoch >= settings.early_stop:
                break
    with torch.no_grad():
        for parameter, value in zip(parameters, kept, strict=False):
            parameter.copy_(value)


def validate(engine: OneProcess | Pipeline, images: Images, settings: Training, runtime: Runtime) -> tuple[float, float, float]:
    """Loss, top-1 and top-5 error of the validation images' centre crops, the same on every rank."""
    views = center_views(len(images.val), _margin(images, settings))
    sums = np.zeros(3)
    for batch in _batches(engine, images.val, images, np.arange(len(images.val)), views, settings):
        sums += runtime.agree(_figures(engine.test(batch.images, batch.labels), batch.labels))
    loss, top1, top5 = sums / len(images.val)
    return float(loss), float(top1), float(top5)


def kept_epoch(epochs: list[Epoch], keep: str) -> int:
    """The epoch whose weights ``fit`` leaves: the last, or the first of least validation error."""
    return min(epochs, key=lambda row: row.val_top1_error).epoch if keep == "best" else epochs[-1].epoch


def _training_batches(engine: OneProcess | Pipeline, images: Images, settings: Training, epoch: int) -> Iterator[Batch]:
    views = random_views(settings.seed, epoch, len(images.train), _margin(images, settings), images.flip, images.noise)
    made = _batches(engine, images.train, images, order(settings.seed, epoch, len(images.train)), views, settings)
    while True:
        with engine.meter.span("data"):
            batch = next(made, None)
        if batch is None:
            return
        yield batch


def _batches(
    engine: OneProcess | Pipeline, shards: Shards, images: Images, chosen: np.ndarray, views: Views, settings: Training
) -> Iterator[Batch]:
    seen = views if engine.first else None
    crop, size = settings.crop_size, settings.batch_size
    return batches(shards, chosen, seen, crop, size, images.normalization, engine.device, images.workers)


def _margin(images: Images, settings: Training) -> int:
    return images.normalization.mean.shape[0] + 2 * settings.crop_padding - settings.crop_size


def _figures(result: tuple[Tensor, Tensor] | None, labels: Tensor) -> list[float]:
    """Summed loss, wrong first guesses, and images whose class is not among the first five; zeros where others know."""
    if result is None:
        return [0.0, 0.0, 0.0]
    loss, logits = result
    guesses = logits.topk(min(5, logits.shape[1])).indices
    right = (guesses == labels[:, None])[labels != IGNORE]
    return [loss.item(), (~right[:, 0]).sum().item(), (~right.any(1)).sum().item()]


def _refuse_divergence(loss: float, where: str, settings: Training) -> None:
    if not math.isfinite(loss):
        raise UserError(
            f"the loss is {loss} {where}: most likely lr: {settings.lr} is too high (try {settings.lr / 10:g}); "
            "else the images or their mean are damaged"
        )
