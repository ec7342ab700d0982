"""Trainings of a few steps on a small set of shards, and what they leave."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet.config.machine import Machine
from alexnet.config.training import Training
from alexnet.files.eigenbasis import Eigenbasis
from alexnet.input.shards import Shards
from alexnet.models.numerics import prepare_process
from alexnet.pipeline.distributed import Ranks
from alexnet.pipeline.engine import StepStats
from alexnet.pipeline.timing import StepTiming
from alexnet.train.checkpoint import Checkpoint
from alexnet.train.session import Inputs, Session
from alexnet.train.state import Epoch

Trained = tuple[list[StepStats], list[Epoch], dict[str, str]]
"""The sums of each step, the figures of each epoch, and a hash of each tensor that this rank has."""


class Recorder:
    """An observer that records events."""

    def __init__(self) -> None:
        self.steps: list[StepStats] = []
        self.epochs: list[Epoch] = []
        self.idle_shares: list[list[float]] = []

    def step(self, epoch: int, step: int, count: int, stats: StepStats, timing: StepTiming) -> None:
        self.steps.append(stats)

    def idle(self, step: int, shares: list[float]) -> None:
        self.idle_shares.append(shares)

    def epoch(self, figures: Epoch) -> None:
        self.epochs.append(figures)


def one_process() -> Ranks:
    """The place of a process that trains by itself."""
    return Ranks(0, 1, torch.device("cpu"))


def session_of(ranks: Ranks, settings: dict[str, Any], folder: Path) -> Session:
    """This rank's part of a training with the settings of ``settings``, as params.yaml has them, on the data in ``folder``."""
    data = folder / "data"
    splits = Shards(data / "shards", "train"), Shards(data / "shards", "val")
    inputs = Inputs(*splits, Eigenbasis.read(data / "eigenbasis.json"), np.load(data / "mean.npy"))
    return Session(Training.read(settings), Machine.read(settings["machine"]), inputs, ranks)


def trained(ranks: Ranks, settings: dict[str, Any], folder: Path) -> Trained:
    """What a training gives on this rank."""
    session, recorder = session_of(ranks, settings, folder), Recorder()
    history = session.trainer.fit(recorder, Checkpoint(None, 0, ranks))
    assert recorder.epochs == history
    assert all(len(shares) == ranks.count for shares in recorder.idle_shares)
    return recorder.steps, history, hashes(session.engine.parameters())


def alone(settings: dict[str, Any], folder: Path) -> Trained:
    """What one process of one thread gives."""
    threads = torch.get_num_threads()
    prepare_process(threads=1)
    result = trained(one_process(), settings, folder)
    torch.set_num_threads(threads)
    return result


def hashes(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """A hash of each tensor's values."""
    return {
        name: hashlib.sha1(value.detach().cpu().contiguous().numpy().tobytes()).hexdigest() for name, value in tensors.items()
    }
