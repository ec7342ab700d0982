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
from alexnet.training.checkpoint import Checkpoint
from alexnet.training.optim import build_optimizer, set_rate
from alexnet.training.progress import Progress
from alexnet.training.schedule import SCHEDULES
from alexnet.training.state import Epoch, State, kept_epoch

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


def fit(
    engine: OneProcess | Pipeline,
    images: Images,
    settings: Training,
    runtime: Runtime,
    observe: Observe,
    checkpoint: Checkpoint,
) -> Iterator[Epoch]:
    """Train ``engine`` for ``settings.epochs`` epochs and give each epoch's figures, the same on every rank.

    A training that was stopped goes on from ``checkpoint``; the figures of the epochs before that are given again.

    ``observe`` is told of each step's ``step_loss`` and ``images_per_second`` and of the part of its time that this rank waited
    for images, ``data_wait``; after each epoch, of the part that each rank was idle, ``idle_rank_N``. When the iterator ends the
    engine holds the weights that ``settings.keep`` asks for. Raises ``UserError`` where the loss is not finite, on every rank at
    once.
    """
    parameters = dict(engine.named_parameters())
    optimizer = build_optimizer(parameters.items(), settings)
    schedule = SCHEDULES[settings.lr_schedule](settings)
    lr, steps = settings.lr, math.ceil(len(images.train) / settings.batch_size)
    state, best = checkpoint.load(parameters, optimizer)
    epochs = list(state.epochs)
    for figures in epochs:
        lr = schedule.after(figures.epoch, figures.val_top1_error)
        yield figures
    done = (state.epoch - 1) * steps + state.steps
    with Progress(settings.epochs, steps, settings.batch_size, done, shown=runtime.lead) as progress:
        for epoch in range(state.epoch, settings.epochs + 1):
            set_rate(optimizer, lr)
            sums = np.array([state.loss, state.wrong])
            epoch_lap = Lap()
            engine.meter.lap()
            for step, batch in enumerate(_training_batches(engine, images, settings, epoch, state.steps), done):
                rows = step * settings.batch_size + torch.arange(settings.batch_size, device=runtime.device)
                told = _figures(engine.step(batch.images, batch.labels, rows), batch.labels)
                loss, wrong, _, due = runtime.agree([*told, checkpoint.due()])
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
                if due:
                    loss, wrong = sums.tolist()
                    state = State(epoch, step + 1 - (epoch - 1) * steps, loss, wrong, tuple(epochs))
                    checkpoint.save(state, parameters, optimizer, best)
                    engine.meter.lap()
            idle = runtime.gather(epoch_lap.idle)
            observe({f"idle_rank_{rank}": share for rank, share in enumerate(idle)}, epoch * steps)
            val_loss, val_top1, val_top5 = validate(engine, images, settings, runtime)
            _refuse_divergence(val_loss, f"in the validation after epoch {epoch}", settings)
            train_loss, train_top1 = sums / len(images.train)
            figures = Epoch(epoch, lr, float(train_loss), float(train_top1), val_loss, val_top1, val_top5)
            progress.epoch(epoch, figures.train_loss, val_loss, val_top1)
            epochs.append(figures)
            if settings.keep == "best" and kept_epoch(epochs, "best") == epoch:
                best = {name: parameter.detach().clone() for name, parameter in parameters.items()}
            lr = schedule.after(epoch, val_top1)
            state, done = State(epoch + 1), epoch * steps
            yield figures
            if settings.early_stop and epoch - kept_epoch(epochs, "best") >= settings.early_stop:
                break
    with torch.no_grad():
        for name, value in best.items():
            parameters[name].copy_(value)


def validate(engine: OneProcess | Pipeline, images: Images, settings: Training, runtime: Runtime) -> tuple[float, float, float]:
    """Loss, top-1 and top-5 error of the validation images' centre crops, the same on every rank."""
    views = center_views(len(images.val), _margin(images, settings))
    sums = np.zeros(3)
    for batch in _batches(engine, images.val, images, np.arange(len(images.val)), views, settings):
        sums += runtime.agree(_figures(engine.test(batch.images, batch.labels), batch.labels))
    loss, top1, top5 = sums / len(images.val)
    return float(loss), float(top1), float(top5)


def _training_batches(
    engine: OneProcess | Pipeline, images: Images, settings: Training, epoch: int, steps: int
) -> Iterator[Batch]:
    """The batches of an epoch but for its first ``steps``."""
    views = random_views(settings.seed, epoch, len(images.train), _margin(images, settings), images.flip, images.noise)
    left = order(settings.seed, epoch, len(images.train))[steps * settings.batch_size :]
    made = _batches(engine, images.train, images, left, views, settings)
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
