"""A whole training: what it reads, the engine that fits the machine, and what it leaves."""

import json
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet.data.augment import Normalization
from alexnet.data.colors import color_axes, mean_of, scale_of
from alexnet.data.loading import thread_count
from alexnet.data.shards import Shards
from alexnet.errors import UserError
from alexnet.model.costs import training_flops
from alexnet.model.initialization import initialize
from alexnet.model.nets import build
from alexnet.model.network import Network, Switches
from alexnet.model.saved import start_from
from alexnet.parallel.pipeline import OneProcess, Pipeline
from alexnet.parallel.runtime import Runtime
from alexnet.settings.training import Training
from alexnet.training.checkpoint import Checkpoint
from alexnet.training.loop import Images, Observe, fit
from alexnet.training.state import Epoch, kept_epoch

PACKAGE = Path(__file__).parents[1]


class Session:
    """One process's part of a training."""

    def __init__(
        self, settings: Training, runtime: Runtime, train: Shards, val: Shards, eigenbasis: dict[str, Any], mean: np.ndarray
    ) -> None:
        """``mean``: the mean image, (3, size, size). Raises ``UserError`` where settings and data do not fit."""
        self.settings, self.runtime, self.eigenbasis = settings, runtime, eigenbasis
        self.meta = train.meta
        self.classes: list[str] = self.meta["classes"]
        if settings.classes not in (None, len(self.classes)):
            raise UserError(f"classes: {settings.classes} is refused, as the data has {len(self.classes)}; set it to null")
        self.lineage = lineage(self.meta)
        self.flip: bool = self.meta["mirror"] if settings.flip is None else settings.flip
        values, vectors = np.array(eigenbasis["eigenvalues"]), np.array(eigenbasis["eigenvectors"])
        noise = color_axes(values, vectors, settings.color_noise, settings.color_noise_scale)
        self.mean = torch.from_numpy(mean_of(mean, settings.mean))
        self.scale = scale_of(np.array(eigenbasis["covariance"]), settings.scale)
        normalization = Normalization.of(self.mean, self.scale, settings.crop_padding, runtime.device)
        workers = thread_count(settings.loader.workers, runtime.ranks)
        self.images = Images(train, val, normalization, noise, self.flip, workers)
        net = build(settings.model, len(self.classes), Switches.of(settings.model_dump()))
        initialize(net, settings.init, settings.seed)
        self.origin = start_from(Path(settings.init_from), net) if settings.init_from else None
        self.parameters = sum(parameter.numel() for parameter in net.parameters())
        self.flops = training_flops(net, settings.crop_size)
        self.engine = build_engine(net, settings, runtime)

    def describe(self) -> str:
        """One line for the user: what is trained, on what, how."""
        pipeline, device = self.settings.pipeline, self.runtime.device
        how = "one process"
        if self.runtime.ranks > 1:
            how = f"{self.runtime.ranks} ranks, cut at {', '.join(pipeline.cuts)}, {pipeline.schedule}"
        elif pipeline.ranks > 1:
            how = f"one process for all stages, as there is one GPU for {pipeline.ranks} ranks"
        return (
            f"{self.settings.model} with {len(self.classes)} classes on {len(self.images.train)} images: {how}, "
            f"{pipeline.microbatches} microbatches, {self.settings.precision}, {device.type}"
        )

    def checkpoint(self, root: Path) -> Checkpoint:
        """The folder of this training in ``root``; every rank calls it."""
        minutes = self.settings.checkpoint.minutes
        return Checkpoint(None if minutes is None else root / self.fingerprint(), minutes or 0, self.runtime)

    def fingerprint(self) -> str:
        """A hash over all that the numbers of this training depend on: settings, data, code, torch, kind of device."""
        told = [numeric_settings(self.settings), self.origin, self.lineage, self.flip, self.eigenbasis]
        digest = sha256(json.dumps([*told, torch.__version__, self.runtime.device.type]).encode())
        digest.update(self.mean.numpy().tobytes())
        for folder in ("data", "model", "parallel", "training"):
            for path in sorted((PACKAGE / folder).rglob("*.py")):
                digest.update(path.read_bytes())
        return digest.hexdigest()[:16]

    def run(self, observe: Observe, checkpoint: Checkpoint | None = None) -> Iterator[Epoch]:
        """Train, and give each epoch's figures; see ``fit``. ``observe`` is told of ``gflops_per_second`` too."""
        if self.runtime.lead:
            print(self.describe(), file=sys.stderr)

        def observe_speed(values: dict[str, float], step: int) -> None:
            rate = values.get("images_per_second")
            observe(values if rate is None else values | {"gflops_per_second": rate * self.flops / 1e9}, step)

        yield from fit(
            self.engine, self.images, self.settings, self.runtime, observe_speed, checkpoint or Checkpoint(None, 0, self.runtime)
        )

    def weights(self) -> dict[str, Tensor]:
        """The whole net's weights; every rank calls it."""
        return self.engine.weights()

    def card(self, epochs: list[Epoch]) -> dict[str, Any]:
        """What the model's card says, but for what the model's file says itself."""
        return {
            "net": self.settings.model,
            "classes": self.classes,
            "size": self.meta["size"],
            "crop_size": self.settings.crop_size,
            "crop_padding": self.settings.crop_padding,
            "scale": self.scale,
            "flip": self.flip,
            "eigenbasis": self.eigenbasis,
            "settings": numeric_settings(self.settings) | {"init_from": self.origin},
            "data": self.lineage,
            "epoch": kept_epoch(epochs, self.settings.keep),
            "epochs": len(epochs),
        }


def build_engine(net: Network, settings: Training, runtime: Runtime) -> OneProcess | Pipeline:
    """``net`` as a pipeline over the ranks, or whole where there is one."""
    precision = {"float32": torch.float32, "bfloat16": torch.bfloat16}[settings.precision]
    pipe = settings.pipeline
    if runtime.ranks == 1:
        return OneProcess(net, pipe.microbatches, precision, runtime.device)
    batch = (settings.batch_size, settings.crop_size)
    return Pipeline(net, pipe.cuts, pipe.schedule, batch, pipe.microbatches, precision, runtime)


def numeric_settings(settings: Training) -> dict[str, Any]:
    """The settings that change the numbers of a training, with dotted keys; the file of ``init_from`` is not one of them."""
    whole = settings.model_dump(exclude={"pipeline", "loader", "checkpoint", "init_from"}, mode="json")
    return {**whole, "pipeline.microbatches": settings.pipeline.microbatches}


def lineage(meta: dict[str, Any]) -> dict[str, Any]:
    """Where the images came from: source, counts, and a SHA-256 over the hashes of each split's shards."""
    splits = meta["splits"]
    hashes = {split: "\n".join(shard["sha256"] for shard in splits[split]["shards"]) for split in splits}
    return {
        "source": meta["source"],
        "images": {split: splits[split]["images"] for split in splits},
        "rejects": meta["rejects"],
        "sha256": {split: sha256(text.encode()).hexdigest() for split, text in hashes.items()},
    }
