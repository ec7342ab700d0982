"""The evaluation of a split: what the net predicts for each image."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
import torch
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


def evaluate(net: Network, mean: Tensor, shards: Shards, card: Card, device: torch.device, cores: int) -> Evaluation:
    """Predict every image of ``shards`` once. ``mean``: (3, size, size).

    On a CPU each batch is computed by the training's number of threads, as its last bits depend on it, and as many batches
    in parallel as ``cores`` allow.
    """
    net = net.to(device).eval()
    threads: int = card.settings["threads"]
    on_cpu = device.type == "cpu"
    parallel = min(PARALLEL, max(1, cores // threads)) if on_cpu else 1
    normalization = Normalization.of(mean, card.scale, padding=0, device=device)
    center, ten_crop, tops = [], [], []
    loader = BatchLoader(shards, Transform(normalization, card.size), BATCH, device, threads=1 if on_cpu else cores)
    batches = loader.epoch(np.arange(len(shards)), center_views(len(shards), 0))
    predicted = _in_turn(lambda batch: (batch, probabilities(net, cast(Tensor, batch.images), card)), batches, parallel, threads)
    for batch, found in tqdm(predicted, "evaluate", -(-len(shards) // BATCH), unit="batch", disable=None):
        labels = batch.labels[: batch.count]
        center.append(_score(found.center[: batch.count], labels))
        ten_crop.append(_score(found.ten_crop[: batch.count], labels))
        tops.append(found.ten_crop[: batch.count].topk(min(5, len(card.classes))))
    return Evaluation(
        np.asarray(shards.labels),
        pd.concat(center, ignore_index=True),
        pd.concat(ten_crop, ignore_index=True),
        torch.cat([top.indices for top in tops]).cpu().numpy(),
        torch.cat([top.values for top in tops]).cpu().numpy(),
    )


def _in_turn(
    work: Callable[[Batch], tuple[Batch, Probabilities]], batches: Iterator[Batch], parallel: int, threads: int
) -> Iterator[tuple[Batch, Probabilities]]:
    """``work`` on each batch in ``parallel`` Python threads, each with ``threads`` of torch's; results in the batches' order."""
    with ThreadPoolExecutor(parallel, "evaluate", torch.set_num_threads, (threads,)) as pool:
        pending: deque[Future[tuple[Batch, Probabilities]]] = deque()
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
