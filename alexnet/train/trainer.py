"""The training loop: epochs of steps, a validation after each, and decisions that all ranks take together."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch

from alexnet.config.training import Training
from alexnet.errors import UserError
from alexnet.input.augment import Normalization, center_views, order, random_views
from alexnet.input.loader import Batch, BatchLoader, Transform
from alexnet.input.shards import Shards
from alexnet.pipeline.distributed import Ranks
from alexnet.pipeline.engine import Engine, PendingStats, StepStats
from alexnet.pipeline.timing import StepTiming
from alexnet.train.checkpoint import Checkpoint
from alexnet.train.optimizers import build_optimizer, rate_of, set_rate
from alexnet.train.schedules import SCHEDULES
from alexnet.train.state import Epoch, State, kept_epoch
from alexnet.train.stopping import Stopped, Stopping, Wish


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


@dataclass(frozen=True)
class Launched:
    """A step that the device may still be computing."""

    count: int
    """Real images."""
    stats: PendingStats
    timing: Callable[[], StepTiming]


class Silent:
    """An ``Observer`` for the ranks that do not lead."""

    def step(self, epoch: int, step: int, count: int, stats: StepStats, timing: StepTiming) -> None: ...

    def idle(self, step: int, shares: list[float]) -> None: ...

    def epoch(self, figures: Epoch) -> None: ...


class Trainer:
    """Trains the net of an engine. All ranks call its methods together and get the same figures."""

    def __init__(self, engine: Engine, images: TrainingImages, settings: Training, ranks: Ranks, threads: int) -> None:
        """``threads`` decode images, in the ranks that take them."""
        self.engine, self.images, self.settings, self.ranks = engine, images, settings, ranks
        self.steps_per_epoch = math.ceil(len(images.train) / settings.batch_size)
        size = images.normalization.mean.shape[0]
        self.margin = size + 2 * settings.crop_padding - settings.crop_size
        transform = Transform(images.normalization, settings.crop_size) if engine.takes_images else None
        self.train_loader, self.val_loader = (
            BatchLoader(shards, transform, settings.batch_size, ranks.device, threads, ranks.share(settings.batch_size))
            for shards in (images.train, images.val)
        )

    def fit(self, observer: Observer, checkpoint: Checkpoint) -> list[Epoch]:
        """Train, from ``checkpoint`` if it has a state, and return the figures of all epochs.

        At the end the engine holds the weights that ``settings.keep`` asks for, and ``checkpoint`` the last state. Raises
        ``UserError`` if the loss is not finite, and ``Stopped`` if the training was asked to stop, on every rank at once.
        """
        run = Run(self, observer, checkpoint)
        with run.stopping.listening():
            for figures in run.state.history:
                observer.epoch(figures)
            while not self._over(run.state.history):
                self._steps(run)
                self._end_of_epoch(run)
                if self._over(run.state.history):
                    run.save()
                elif any(self.ranks.gather(run.stopping.after_epoch())):
                    run.save_and_stop(only_if_saved=True)
        with torch.no_grad():
            for name, value in run.best.items():
                run.parameters[name].copy_(value)
        return list(run.state.history)

    @property
    def ahead(self) -> int:
        """Steps that are launched before the figures of one are read, so that a GPU never waits for its host."""
        return int(self.ranks.device.type == "cuda")

    def _over(self, history: Sequence[Epoch]) -> bool:
        patience = self.settings.early_stop
        waited = len(history) - kept_epoch(history, "best") if history else 0
        return len(history) >= self.settings.epochs or (patience is not None and waited >= patience)

    def _steps(self, run: "Run") -> None:
        """The steps of an epoch, from where the training stands."""
        engine, settings, epoch, before = self.engine, self.settings, run.state.epoch, run.state.steps
        lr = SCHEDULES[settings.lr_schedule](settings, [figures.val_top1_error for figures in run.state.history])
        set_rate(run.optimizer, lr)
        batches, launched = self._training_batches(epoch, before), deque[Launched]()
        run.timing = StepTiming()
        engine.timer.lap()
        for batch in engine.timer.waiting(batches):
            stats = engine.forward_backward(batch)
            engine.update(run.optimizer)
            launched.append(Launched(batch.count, stats, engine.timer.lap()))
            wish = Wish.GO_ON
            while len(launched) > (self.ahead if wish == Wish.GO_ON else 0):
                wish = max(wish, self._read(run, launched.popleft()))
            if wish == Wish.STOP:
                run.save_and_stop()
            if wish == Wish.SAVE:
                run.save()
                engine.timer.lap()
        while launched:
            self._read(run, launched.popleft())
        run.observer.idle(epoch * self.steps_per_epoch, self.ranks.gather(run.timing.idle))

    def _read(self, run: "Run", launched: "Launched") -> Wish:
        """Note what a step gave, and stop if that is no number; what the last rank wishes to do after it."""
        stats, wish = self.ranks.from_last(launched.stats.read(), run.wish())
        epoch, step = run.state.epoch, run.state.steps + 1
        number = (epoch - 1) * self.steps_per_epoch + step
        _stop_if_diverged(stats.loss, f"at step {number} (epoch {epoch})", self.settings)
        timing = launched.timing()
        run.timing += timing
        run.state = replace(run.state, steps=step, sums=run.state.sums + stats)
        run.observer.step(epoch, number, launched.count, stats, timing)
        run.stopping.step(epoch, self.steps_per_epoch - step)
        return Wish(wish)

    def _end_of_epoch(self, run: "Run") -> None:
        """Validate, and note the epoch's figures, and its weights if they are the best."""
        val = self._validate(run)
        epoch, train = run.state.epoch, run.state.sums
        _stop_if_diverged(val.loss, f"in the validation after epoch {epoch}", self.settings)
        images, val_images = len(self.images.train), len(self.images.val)
        figures = Epoch(
            epoch=epoch,
            lr=rate_of(run.optimizer),
            train_loss=train.loss / images,
            train_top1_error=train.top1_wrong / images,
            val_loss=val.loss / val_images,
            val_top1_error=val.top1_wrong / val_images,
            val_top5_error=val.top5_wrong / val_images,
        )
        run.state = State(epoch + 1, history=(*run.state.history, figures))
        if self.settings.keep == "best" and kept_epoch(run.state.history, "best") == epoch:
            run.best = {name: parameter.detach().clone() for name, parameter in run.parameters.items()}
        run.observer.epoch(figures)

    def _validate(self, run: "Run") -> StepStats:
        """Sums over the validation images' centre crops."""
        count = len(self.images.val)
        sums = StepStats()
        for batch in self.val_loader.epoch(np.arange(count), center_views(count, self.margin)):
            stats, wish = self.ranks.from_last(self.engine.evaluate(batch).read(), run.wish())
            if wish == Wish.STOP:
                run.save_and_stop()
            sums += stats
        return sums

    def _training_batches(self, epoch: int, done: int) -> Iterator[Batch]:
        """The batches of an epoch after its first ``done``."""
        seed, count, size = self.settings.seed, len(self.images.train), self.settings.batch_size
        views = random_views(seed, epoch, count, self.margin, self.images.flip, self.images.noise)
        first_row = ((epoch - 1) * self.steps_per_epoch + done) * size
        return self.train_loader.epoch(order(seed, epoch, count)[done * size :], views, first_row)


class Run:
    """A training that runs: where it stands, and what goes with it. All ranks call its methods together."""

    def __init__(self, trainer: Trainer, observer: Observer, checkpoint: Checkpoint) -> None:
        self.parameters = trainer.engine.parameters()
        self.optimizer = build_optimizer(self.parameters, trainer.settings)
        self.observer, self.checkpoint = observer, checkpoint
        self.state, self.best = checkpoint.load(self.parameters, self.optimizer)
        """Where it stands, and the weights of the best epoch, if those are kept."""
        self.stopping = Stopping(checkpoint.folder, trainer.settings, trainer.ranks)
        self.timing = StepTiming()
        """Of the epoch's steps so far, since it was begun or resumed."""

    def wish(self) -> Wish:
        """What this rank wants after the running step; the last rank's word counts."""
        if self.stopping.now():
            return Wish.STOP
        return Wish.SAVE if self.checkpoint.due() else Wish.GO_ON

    def save(self) -> bool:
        """Save where it stands; whether that could be written."""
        return self.checkpoint.save(self.state, self.parameters, self.optimizer, self.best)

    def save_and_stop(self, only_if_saved: bool = False) -> None:
        """Raises ``Stopped``."""
        saved = self.save()
        if saved or not only_if_saved:
            raise Stopped(self.state, saved)


def _stop_if_diverged(loss: float, where: str, settings: Training) -> None:
    if not math.isfinite(loss):
        raise UserError(
            f"the loss is {loss} {where}: most likely lr: {settings.lr} is too high (try {settings.lr / 10:g}); "
            "otherwise the images or their mean are damaged"
        )
