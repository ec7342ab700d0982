"""A whole training: what it reads, the engine that fits the machine, and what it leaves."""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

from alexnet import launcher
from alexnet.config.machine import Machine
from alexnet.config.training import Training
from alexnet.errors import UserError
from alexnet.files.card import FORMAT, Card
from alexnet.files.eigenbasis import Eigenbasis
from alexnet.input.augment import Normalization
from alexnet.input.colors import color_axes, mean_of, scale_of
from alexnet.input.loader import thread_count
from alexnet.input.shards import Shards
from alexnet.models.build import build
from alexnet.models.costs import training_flops
from alexnet.models.devices import card_names
from alexnet.models.initialization import initialize
from alexnet.models.network import Network, Switches
from alexnet.models.saved import start_from
from alexnet.pipeline.distributed import Ranks
from alexnet.pipeline.engine import Engine
from alexnet.pipeline.pipeline import Pipeline
from alexnet.pipeline.single_process import SingleProcess
from alexnet.train.checkpoint import Checkpoint
from alexnet.train.fingerprint import code_fingerprint, lineage, numeric_settings
from alexnet.train.schedules import NEED_EPOCHS
from alexnet.train.snapshot import DIGITS
from alexnet.train.state import Epoch, kept_epoch
from alexnet.train.trainer import Trainer, TrainingImages


@dataclass(frozen=True)
class Inputs:
    """What a training reads."""

    train: Shards
    val: Shards
    eigenbasis: Eigenbasis
    mean: np.ndarray
    """The mean image, float32 (3, size, size)."""


class Session:
    """One process's part of a training."""

    def __init__(self, settings: Training, machine: Machine, inputs: Inputs, ranks: Ranks) -> None:
        """Raises ``UserError`` if settings and data do not fit together."""
        self.settings, self.machine, self.ranks = settings, machine, ranks
        self.meta, self.eigenbasis = inputs.train.meta, inputs.eigenbasis
        classes = len(self.meta.classes)
        if settings.classes not in (None, classes):
            raise UserError(f"classes: {settings.classes} is not valid: the data has {classes}; set it to null")
        self.lineage = lineage(self.meta)
        self.flip = self.meta.mirror if settings.flip is None else settings.flip
        self.mean = torch.from_numpy(mean_of(inputs.mean, settings.mean))
        self.scale = scale_of(np.array(self.eigenbasis.covariance), settings.scale)
        net = build(settings.model, classes, Switches.of(settings.model_dump()))
        initialize(net, settings.init, settings.seed, settings.bias_ones)
        self.origin = start_from(Path(settings.init_from), net, self.meta.classes) if settings.init_from else None
        self.parameters = sum(parameter.numel() for parameter in net.parameters())
        self.flops = training_flops(net, settings.crop_size)
        """Of one image's training step."""
        self.engine = build_engine(net, settings, ranks)
        # Beside GPUs, the cores are for the ranks that decode: the first of each replica.
        decoding = [rank for rank in ranks.node if rank % ranks.stages == 0 or ranks.device.type == "cpu"]
        threads = thread_count(machine.workers, max(len(decoding), 1))
        self.trainer = Trainer(self.engine, self._images(inputs), settings, ranks, threads)

    def describe(self) -> str:
        """One line for the user: what is trained, on what, how."""
        pipeline, ranks = self.settings.pipeline, self.ranks
        needed = pipeline.ranks * pipeline.replicas
        how = "one process"
        if ranks.stages > 1:
            how = f"{ranks.stages} ranks{_on_nodes()}, cut at {', '.join(pipeline.cuts)}, {pipeline.schedule}"
        elif ranks.count == 1 < needed:
            how = f"one process for all stages, as there is one GPU for {needed} ranks"
        if pipeline.replicas > 1:
            how = f"{pipeline.replicas} replicas, each of {how}" if ranks.count > 1 else f"{pipeline.replicas} replicas, {how}"
        if pipeline.microbatches > 1:
            how = f"{how}, {pipeline.microbatches} microbatches"
        return (
            f"{self.settings.model} with {len(self.meta.classes)} classes on {self.lineage.images['train']} images: {how}, "
            f"{self.settings.precision}, {ranks.device.type}"
        )

    def checkpoint(self, root: Path) -> Checkpoint:
        """This training's checkpoint in ``root``; every rank calls it."""
        minutes = self.machine.checkpoint_minutes
        return Checkpoint(None if minutes is None else root / self.fingerprint(), minutes or 0, self.ranks)

    def fingerprint(self) -> str:
        """Two hashes and ``epochs``: all that the numbers depend on.

        The first hash is over settings, data and CPU or GPU, the second over the code and the kind of GPU. ``epochs`` is in the
        first only if the schedule's rates depend on it, so another number of epochs is the same training, shorter or longer.
        """
        settings, data = numeric_settings(self.settings), self.lineage.model_dump()
        if self.settings.lr_schedule not in NEED_EPOCHS:
            del settings["epochs"]
        facts = [settings, self.origin, data, self.flip, self.eigenbasis.model_dump(), self.ranks.device.type]
        cards = card_names(self.ranks.device, self.ranks.count)
        identity = sha256(json.dumps(facts).encode() + self.mean.numpy().tobytes())
        return f"{identity.hexdigest()[:16]}-{code_fingerprint([torch.__version__, *cards])}-{self.settings.epochs}"

    def refuse_differences(self) -> None:
        """Raise ``UserError`` on every rank if one depends on other things than the first; all of them call it."""
        identity, code, _ = self.fingerprint().split("-")
        device = "CPU or GPU" if self.settings.init_from is None else "CPU or GPU, or init_from's file"
        for own, facts in ((identity, f"settings, data, {device}"), (code, "code, torch or kind of GPU")):
            first, *others = self.ranks.gather(int(own[:DIGITS], 16))
            for rank, value in enumerate(others, 1):
                if value != first:
                    where = "this node" if rank in self.ranks.node else f"node {rank // len(self.ranks.node) + 1}"
                    raise UserError(f"{where} differs from the first in what this training depends on ({facts}); make them equal")

    def card(self, history: list[Epoch], weights_sha256: str) -> Card:
        """The card of the trained model, whose weights' file has that hash."""
        settings = self.settings
        return Card(
            format=FORMAT,
            net=settings.model,
            classes=self.meta.classes,
            size=self.meta.size,
            crop_size=settings.crop_size,
            crop_padding=settings.crop_padding,
            scale=self.scale,
            flip=self.flip,
            eigenbasis=self.eigenbasis,
            settings=dict(sorted((numeric_settings(settings) | {"init_from": self.origin}).items())),
            data=self.lineage,
            epoch=kept_epoch(history, settings.keep),
            epochs=len(history),
            parameters=self.parameters,
            sha256=weights_sha256,
        )

    def _images(self, inputs: Inputs) -> TrainingImages:
        values, vectors = np.array(self.eigenbasis.eigenvalues), np.array(self.eigenbasis.eigenvectors)
        return TrainingImages(
            train=inputs.train,
            val=inputs.val,
            normalization=Normalization.of(self.mean, self.scale, self.settings.crop_padding, self.ranks.device),
            noise=color_axes(values, vectors, self.settings.color_noise, self.settings.color_noise_scale),
            flip=self.flip,
        )


def _on_nodes() -> str:
    return f" on {launcher.nodes()} nodes" if launcher.nodes() > 1 else ""


def build_engine(net: Network, settings: Training, ranks: Ranks) -> Engine:
    """``net`` as a pipeline over the ranks, or in a single process if a pipeline has one rank."""
    if ranks.stages == 1:
        return SingleProcess(net, settings, ranks.device, ranks.replica)
    return Pipeline(net, settings, ranks)
