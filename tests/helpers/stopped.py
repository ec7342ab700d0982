"""Trainings of three epochs of three steps that are stopped at one of them, and what they leave."""

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from helpers.nets import settings_of
from helpers.training import Recorder, hashes, one_process, session_of

from alexnet.models.numerics import prepare_process
from alexnet.pipeline.distributed import Ranks
from alexnet.pipeline.engine import StepStats
from alexnet.pipeline.timing import StepTiming
from alexnet.train.state import Epoch

STEPS = 9
"""Three epochs of three steps, the last batch of each not full."""
MODEL = "the hash of the model"


class Stop(Exception):
    """What ends a training in its middle."""


class Stopping(Recorder):
    """Stops a training at step ``stop``; records the numbers of the steps."""

    def __init__(self, stop: int) -> None:
        super().__init__()
        self.stop, self.done = stop, list[int]()

    def step(self, epoch: int, step: int, count: int, stats: StepStats, timing: StepTiming) -> None:
        super().step(epoch, step, count, stats, timing)
        self.done.append(step)
        if step == self.stop:
            raise Stop


def recipe(**changes: Any) -> dict[str, Any]:
    """With crops, flips, colour noise and dropout, a rate that drops after the first epoch, and a saving at every step."""
    steps = {"batch_size": 8, "epochs": 3, "flip": True, "color_noise": 0.1, "precision": "float32", "lr": 0.001}
    drops = {"lr_schedule": "milestones", "lr_milestones": [1], "pipeline.ranks": 1, "machine.checkpoint_minutes": 0}
    return settings_of("cifar10-32", **{**steps, **drops, **changes})


Result = tuple[list[Epoch], dict[str, str], list[int]]
"""The epochs of a training that ended, hashes of its weights, the numbers of the steps that were done."""


def train(ranks: Ranks, settings: dict[str, Any], folder: Path, root: Path, stop: int = STEPS + 1) -> Result:
    """Train until step ``stop`` is reported; the one before it is saved by then."""
    training, observer, history = session_of(ranks, settings, folder), Stopping(stop), list[Epoch]()
    with training.checkpoint(root) as checkpoint, suppress(Stop):
        history += training.trainer.fit(observer, checkpoint)
        checkpoint.finish(MODEL)
        assert observer.epochs == history  # those before the stop are reported again
    ranks.wait_for_sends()  # which would be lost with `ranks`
    return history, hashes(training.engine.parameters()), observer.done


UNDISTURBED: dict[str, tuple[list[Epoch], dict[str, str]]] = {}


def undisturbed(settings: dict[str, Any], folder: Path) -> tuple[list[Epoch], dict[str, str]]:
    """Epochs and hashes of the weights of a training that nothing stops; trains once for all tests."""
    key = f"{folder} {settings}"
    if key not in UNDISTURBED:
        with TemporaryDirectory() as root:
            UNDISTURBED[key] = alone(settings, folder, Path(root))[:2]
    return UNDISTURBED[key]


def alone(settings: dict[str, Any], folder: Path, root: Path, stop: int = STEPS + 1) -> Result:
    threads = torch.get_num_threads()
    prepare_process(threads=1)
    result = train(one_process(), settings, folder, root, stop)
    torch.set_num_threads(threads)
    return result
