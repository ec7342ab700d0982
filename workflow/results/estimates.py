"""How long a training will take on this machine, from a few timed steps."""

import csv
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from alexnet.files.whole import read_json, write_json, write_text
from workflow.results.rows import FOLDER

START, TEST_IMAGES = 25.0, 10_000
"""Seconds to start both processes; images of CIFAR-10 that are tested."""
TRAIN_IMAGES = 45_000
"""Of CIFAR-10 less the validation images."""
VALIDATION = 1.06
"""The share of an epoch's time that its validation adds."""
WARM, TIMED = 2, 3
"""Steps before the timed ones, and these."""
ESTIMATES = "estimates.csv"
"""Minutes of each training on one machine, in the folder of the table."""


def read_estimates(path: Path = FOLDER / ESTIMATES) -> dict[str, float]:
    """Minutes of each training on two CPU cores, by its name."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {row["name"]: float(row["minutes"]) for row in csv.DictReader(file)}


def write_estimates(seconds: dict[str, float], path: Path = FOLDER / ESTIMATES) -> None:
    """Write the file."""
    write_text(path, "".join(["name,minutes\n", *(f"{name},{seconds[name] / 60:.1f}\n" for name in sorted(seconds))]))


class Speeds:
    """Images a second by kind of training: measured from steps at first, then from trainings that ran."""

    def __init__(self, path: Path | None = None) -> None:
        """``path``: a file that keeps them."""
        self.path = path
        self.known: dict[str, float] = dict(read_json(path, "remove it")) if path and path.exists() else {}

    def seconds(self, settings: dict[str, Any]) -> float:
        """Of the training and its evaluation."""
        speed = self.known.get(kind(settings)) or self.note(settings, measured_apart(settings))
        images = min(settings["data"]["limit"] or TRAIN_IMAGES, TRAIN_IMAGES)
        tested = min(settings["data"]["limit"] or TEST_IMAGES, TEST_IMAGES)
        # Ten crops of each test image, in float32: a third of a step for each, or about a whole one if steps are in bfloat16.
        evaluation = 10 * tested / (1 if settings["precision"] == "bfloat16" else 3)
        return START + float(VALIDATION * settings["epochs"] * images + evaluation) / speed

    def note(self, settings: dict[str, Any], speed: float) -> float:
        """Remember the speed of a kind of training."""
        if speed > 0:
            self.known[kind(settings)] = round(speed, 1)
            if self.path:
                write_json(self.path, self.known)
        return speed


def kind(settings: dict[str, Any]) -> str:
    """What the speed of a training depends on."""
    switches = [settings[name] for name in ("activation", "pool", "lrn", "towers", "dropout")]
    pipeline = [settings["pipeline"][name] for name in ("microbatches", "ranks", "replicas")]
    steps = [settings["batch_size"], settings["threads"], *pipeline]
    return " ".join(map(str, [settings["model"], settings["crop_size"], settings["precision"], *switches, *steps]))


def measured_apart(settings: dict[str, Any]) -> float:
    """``measured`` in a process of its own, which gives memory, and a GPU's, back for the trainings."""
    with ProcessPoolExecutor(1, get_context("spawn")) as one:
        return one.submit(measured, settings).result()


def measured(settings: dict[str, Any]) -> float:
    """Images a second of some steps of one process on random inputs, times the ranks of all replicas that have cores or a GPU.

    The reading of images is left out, as it runs beside the steps.
    """
    import torch

    from alexnet.config.training import Training
    from alexnet.input.loader import Batch
    from alexnet.models.build import build
    from alexnet.models.devices import computing_device
    from alexnet.models.initialization import initialize
    from alexnet.models.network import Switches
    from alexnet.models.numerics import prepare_process
    from alexnet.pipeline.single_process import SingleProcess
    from alexnet.train.optimizers import build_optimizer

    training = Training.read(settings)
    device = computing_device()
    prepare_process(training.threads)
    net = build(training.model, 10, Switches.of(settings))
    initialize(net, training.init, training.seed)
    engine = SingleProcess(net, training, device)
    optimizer = build_optimizer(engine.parameters(), training)
    side, size = training.crop_size, training.batch_size
    images = torch.randn(size, 3, side, side, device=device).contiguous(memory_format=torch.channels_last)
    batch = Batch(images, torch.arange(size, device=device) % 10, torch.arange(size, device=device), size)
    seconds = []
    for _ in range(WARM + TIMED):
        begun = time.perf_counter()
        engine.forward_backward(batch)
        engine.update(optimizer)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
    places = len(os.sched_getaffinity(0)) // training.threads
    if device.type == "cuda":
        places = 1  # one process runs all on a GPU
    return beside(settings, places) * size / min(seconds[WARM:])


def beside(settings: dict[str, Any], places: int) -> int:
    """How many processes of a training, the ranks of all replicas, compute at once on that many places."""
    processes: int = settings["pipeline"]["ranks"] * settings["pipeline"]["replicas"]
    return max(1, min(processes, places))
