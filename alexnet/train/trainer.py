"""The training loop: epochs of steps, a validation after each, and decisions that all ranks take together."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from alexnet.config.training import Training
from alexnet.errors import UserError
from alexnet.input.augment import Normalization, center_views, order, random_views
from alexnet.input.loader import Batch, BatchLoader, Transform
from alexnet.input.shards import Shards
from alexnet.pipeline.distributed import Ranks
from alexnet.pipeline.engine import Engine, StepStats
from alexnet.pipeline.timing import StepTiming
from alexnet.train.checkpoint import Checkpoint
from alexnet.train.optimizers import build_optimizer, set_rate
from alexnet.train.schedules import SCHEDULES
from alexnet.train.state import Epoch, State, kept_epoch


@dataclass(frozen=True)
class TrainingImages:
    """What a training reads, and how the pixels become inputs."""

    train: Shards
    val: Shards
    normalization: Normalization
    noise: np.ndarray
    """(3, 3), see ``alexnet.input.colors.color_axes``."""
    flip: bool


class Observer(Protocol):
    """Receives the events of a training."""

    def step(self, epoch: int, step: int, count: int, stats: StepStats, timing: StepTiming) -> None:
        """After a step on ``count`` images; ``step`` is counted from 1 over all epochs."""

    def idle(self, step: int, shares: list[float]) -> None:
        """After the steps of an epoch: the share of its time that each rank was idle."""

    def epoch(self, figures: Epoch) -> None:
        """After an epoch and its validation; for the epochs before a checkpoint too, when the training resumes there."""


class Silent:
    """An ``Observer`` for the ranks that do not lead."""

    def step(self, epoch: int, step: int, count: int, stats: StepStats, timing: StepTiming) -> None: ...

    def idle(self, step: int, shares: list[float]) -> None: ...

    def epoch(self, figures: Epoch) -> None: ...


class Trainer:
    """Trains the net of an engine. All ranks call its methods together and get the same figures."""

    def __init__(self, engine: Engine, images: TrainingImages, settings: Training, ranks: Ranks, threads: int) -> None:
        """``threads`` decode images, in the rank that takes them."""
        self.engine, self.images, self.settings, self.ranks = engine, images, settings, ranks
        self.steps_per_epoch = math.ceil(len(images.train) / settings.batch_size)
        size = images.normalization.mean.shape[0]
        self.margin = size + 2 * settings.crop_padding - settings.crop_size
        transform = Transform(images.normalization, settings.crop_size) if engine.takes_images else None
        self.train_loader, self.val_loader = (
            BatchLoader(shards, transform, settings.batch_size, ranks.device, threads) for shards in (images.train, images.val)
        )

    def fit(self, observer: Observer, checkpoint: Checkpoint) -> list[Epoch]:
        """Train, from ``checkpoint`` if it has a state, and return the figures of all epochs.

        At the end the engine holds the weights that ``settings.keep`` asks for. Raises ``UserError`` if the loss is not finite,
        on every rank at once.
        """
        settings, engine, ranks, parameters = self.settings, self.engine, self.ranks, self.engine.parameters()
        optimizer, schedule = build_optimizer(parameters, settings), SCHEDULES[settings.lr_schedule]
        state, best = checkpoint.load(parameters, optimizer)
        history = list(state.history)
        for figures in history:
            observer.epoch(figures)
        for epoch in range(state.epoch, settings.epochs + 1):
            lr = schedule(settings, [figures.val_top1_error for figures in history])
            set_rate(optimizer, lr)
            sums, timing = state.sums, StepTiming()
            batches = self._training_batches(epoch, state.steps)
            engine.timer.timing()
            for step, batch in enumerate(engine.timer.waiting(batches), state.steps + 1):
                stats, due = ranks.from_last(engine.forward_backward(batch), checkpoint.due())
                number = (epoch - 1) * self.steps_per_epoch + step
                _stop_if_diverged(stats.loss, f"at step {number} (epoch {epoch})", settings)
                step_timing = engine.timer.timing()  # before the update: the other ranks may still be computing
                engine.update(optimizer)
                sums, timing = sums + stats, timing + step_timing
                observer.step(epoch, number, batch.count, stats, step_timing)
                if due:
                    checkpoint.save(State(epoch, step, sums, tuple(history)), parameters, optimizer, best)
                    engine.timer.timing()
            observer.idle(epoch * self.steps_per_epoch, ranks.gather(timing.idle))
            history.append(self._end_of_epoch(epoch, lr, sums))
            if settings.keep == "best" and kept_epoch(history, "best") == epoch:
                best = {name: parameter.detach().clone() for name, parameter in parameters.items()}
            state = State(epoch + 1)
            observer.epoch(history[-1])
            if settings.early_stop and epoch - kept_epoch(history, "best") >= settings.early_stop:
                break
        with torch.no_grad():
            for name, value in best.items():
                parameters[name].copy_(value)
        return history

    def validate(self) -> StepStats:
        """Sums over the validation images' centre crops."""
        count = len(self.images.val)
        sums = StepStats()
        for batch in self.val_loader.epoch(np.arange(count), center_views(count, self.margin)):
            sums += self.ranks.from_last(self.engine.evaluate(batch))[0]
        return sums

    def _training_batches(self, epoch: int, done: int) -> Iterator[Batch]:
        """The batches of an epoch after its first ``done``."""
        seed, count, size = self.settings.seed, len(self.images.train), self.settings.batch_size
        views = random_views(seed, epoch, count, self.margin, self.images.flip, self.images.noise)
        first_row = ((epoch - 1) * self.steps_per_epoch + done) * size
        return self.train_loader.epoch(order(seed, epoch, count)[done * size :], views, first_row)

    def _end_of_epoch(self, epoch: int, lr: float, train: StepStats) -> Epoch:
        val = self.validate()
        _stop_if_diverged(val.loss, f"in the validation after epoch {epoch}", self.settings)
        images, val_images = len(self.images.train), len(self.images.val)
        return Epoch(
            epoch=epoch,
            lr=lr,
            train_loss=train.loss / images,
            train_top1_error=train.top1_wrong / images,
            val_loss=val.loss / val_images,
            val_top1_error=val.top1_wrong / val_images,
            val_top5_error=val.top5_wrong / val_images,
        )


def _stop_if_diverged(loss: float, where: str, settings: Training) -> None:
    if not math.isfinite(loss):
        raise UserError(
            f"the loss is {loss} {where}: most likely lr: {settings.lr} is too high (try {settings.lr / 10:g}); "
            "otherwise the images or their mean are damaged"
        )
