"""The evaluation of a split: what the net predicts for each image."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from alexnet.evaluate.predictions import Probabilities, probabilities
from alexnet.files.card import Card
from alexnet.input.augment import Normalization, center_views
from alexnet.input.loader import Batch, BatchLoader, Transform
from alexnet.input.shards import Shards
from alexnet.models.network import Network

BATCH = 64
"""Images per batch, whatever the machine; the last one is padded, so no number depends on what it holds."""
PARALLEL = 8
"""At most this many batches in parallel: each takes up to a gigabyte of memory."""


Result = TypeVar("Result")


@dataclass(frozen=True)
class Evaluation:
    """One row an image of the split, in its order."""

    actual: np.ndarray
    """(images,) labels."""
    center: pd.DataFrame
    """Of the centre crop: ``predicted`` (label) and its ``probability``, ``rank`` of the actual class from 1, ``loss``."""
    ten_crop: pd.DataFrame
    """The same of the ten crops."""
    top: np.ndarray
    """(images, up to 5) labels of the ten crops' first guesses, likeliest first."""
    top_probability: np.ndarray
    """Their probabilities."""


@dataclass(frozen=True)
class Runner:
    """Computes over the images of shards, as they are, in batches of one size.

    On a CPU each batch is computed by the training's number of threads, as its last bits depend on it, and as many batches
    in parallel as ``cores`` allow.
    """

    mean: Tensor
    """(3, size, size)"""
    card: Card
    device: torch.device
    cores: int

    def run(self, work: Callable[[Tensor], Result], shards: Shards, images: NDArray[np.int64]) -> Iterator[tuple[Batch, Result]]:
        """``work`` on the inputs of each batch of ``images``, (N, 3, size, size); batches and results in order."""
        threads: int = self.card.settings["threads"]
        on_cpu = self.device.type == "cpu"
        parallel = min(PARALLEL, max(1, self.cores // threads)) if on_cpu else 1
        transform = Transform(Normalization.of(self.mean, self.card.scale, padding=0, device=self.device), self.card.size)
        loader = BatchLoader(shards, transform, BATCH, self.device, threads=1 if on_cpu else self.cores)
        batches = loader.epoch(images, center_views(len(shards), 0))
        done = _in_turn(lambda batch: (batch, work(cast(Tensor, batch.images))), batches, parallel, threads)
        return iter(tqdm(done, "evaluate", -(-len(images) // BATCH), unit="batch", disable=None))


def evaluate(net: Network, shards: Shards, runner: Runner) -> Evaluation:
    """Predict every image of ``shards`` once."""
    net = net.to(runner.device).eval()
    predicted = runner.run(lambda images: probabilities(net, images, runner.card), shards, np.arange(len(shards)))
    return joined([score(found.first(batch.count), batch.labels[: batch.count]) for batch, found in predicted])


def score(found: Probabilities, labels: Tensor) -> Evaluation:
    """Compare the probabilities of some images with their labels, int64 (N,)."""
    top = found.ten_crop.topk(min(5, found.ten_crop.shape[1]))
    guesses = top.indices.cpu().numpy(), top.values.cpu().numpy()
    return Evaluation(labels.cpu().numpy(), _score(found.center, labels), _score(found.ten_crop, labels), *guesses)


def joined(parts: Sequence[Evaluation]) -> Evaluation:
    """The evaluations of some images each as one; there is at least one."""
    return Evaluation(
        np.concatenate([part.actual for part in parts]),
        pd.concat([part.center for part in parts], ignore_index=True),
        pd.concat([part.ten_crop for part in parts], ignore_index=True),
        np.concatenate([part.top for part in parts]),
        np.concatenate([part.top_probability for part in parts]),
    )


def _in_turn(
    work: Callable[[Batch], tuple[Batch, Result]], batches: Iterator[Batch], parallel: int, threads: int
) -> Iterator[tuple[Batch, Result]]:
    """``work`` on each batch in ``parallel`` Python threads, each with ``threads`` of torch's; results in the batches' order."""
    with ThreadPoolExecutor(parallel, "evaluate", torch.set_num_threads, (threads,)) as pool:
        pending: deque[Future[tuple[Batch, Result]]] = deque()
        for batch in batches:
            pending.append(pool.submit(work, batch))
            if len(pending) > parallel:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _score(likely: Tensor, labels: Tensor) -> pd.DataFrame:
    ranks = likely.argsort(stable=True, dim=1, descending=True)
    right = likely.gather(1, labels[:, None])[:, 0]
    columns = {
        "predicted": ranks[:, 0],
        "rank": (ranks == labels[:, None]).int().argmax(1) + 1,
        "loss": -right.clamp_min(torch.finfo(right.dtype).tiny).log(),
        "probability": likely.max(1).values,
    }
    return pd.DataFrame({name: column.cpu().numpy() for name, column in columns.items()})
