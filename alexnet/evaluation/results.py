"""The test of a split: errors, tables, and the files that the report draws from."""

import csv
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import confusion_matrix
from torch import Tensor
from tqdm import tqdm

from alexnet.data.augment import Normalization, center_views
from alexnet.data.loading import Batch, batches
from alexnet.data.shards import Shards
from alexnet.evaluation.predict import Probabilities, probabilities
from alexnet.files import whole_file, write_bytes, write_json, write_text
from alexnet.model.card import Card
from alexnet.model.network import Network

BATCH = 64
"""Images a batch, whatever the machine; the last one is filled up, so no number depends on what it holds."""
SIDE_BY_SIDE = 8
"""Batches under way at the most: each takes up to a gigabyte of memory."""
SAMPLES = 8
"""Test images shown with their first guesses, as in the paper's figure 4."""


@dataclass(frozen=True)
class Results:
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


def test(net: Network, mean: Tensor, shards: Shards, card: Card, device: torch.device, cores: int) -> Results:
    """Test every image of ``shards`` once. ``mean``: (3, size, size).

    On a CPU each batch is computed by the training's number of threads, as its last bits depend on it, and as many batches
    side by side as ``cores`` have room for.
    """
    net = net.to(device).eval()
    threads: int = card.settings["threads"]
    on_cpu = device.type == "cpu"
    side_by_side = min(SIDE_BY_SIDE, max(1, cores // threads)) if on_cpu else 1
    normalization = Normalization.of(mean, card.scale, padding=0, device=device)
    center, ten_crop, tops = [], [], []
    chosen, seen = np.arange(len(shards)), center_views(len(shards), 0)
    feed = batches(shards, chosen, seen, card.size, BATCH, normalization, device, workers=1 if on_cpu else cores)
    tested = _in_turn(lambda batch: (batch, probabilities(net, cast(Tensor, batch.images), card)), feed, side_by_side, threads)
    for batch, found in tqdm(tested, "test", -(-len(shards) // BATCH), unit="batch", disable=None):
        labels = batch.labels[: batch.count]
        center.append(_score(found.center[: batch.count], labels))
        ten_crop.append(_score(found.ten_crop[: batch.count], labels))
        tops.append(found.ten_crop[: batch.count].topk(min(5, len(card.classes))))
    return Results(
        np.asarray(shards.labels),
        pd.concat(center, ignore_index=True),
        pd.concat(ten_crop, ignore_index=True),
        torch.cat([top.indices for top in tops]).cpu().numpy(),
        torch.cat([top.values for top in tops]).cpu().numpy(),
    )


def _in_turn(
    work: Callable[[Batch], tuple[Batch, Probabilities]], feed: Iterator[Batch], side_by_side: int, threads: int
) -> Iterator[tuple[Batch, Probabilities]]:
    """``work`` on each batch in as many Python threads, each with its own ``threads`` of torch's; results in the feed's order."""
    with ThreadPoolExecutor(side_by_side, "test", torch.set_num_threads, (threads,)) as pool:
        under_way: deque[Future[tuple[Batch, Probabilities]]] = deque()
        for batch in feed:
            under_way.append(pool.submit(work, batch))
            if len(under_way) > side_by_side:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


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


def metrics(results: Results, classes: int) -> dict[str, Any]:
    """Errors as fractions of 1 and the mean loss, of the centre crop and of the ten crops."""

    def errors(scores: pd.DataFrame) -> dict[str, float]:
        top1, top5, loss = (scores["rank"] > 1).mean(), (scores["rank"] > 5).mean(), scores["loss"].mean()
        return {"top1_error": float(top1), "top5_error": float(top5), "loss": float(loss)}

    return {
        "center": errors(results.center),
        "ten_crop": errors(results.ten_crop),
        "images": len(results.actual),
        "classes": classes,
    }


def write(folder: Path, results: Results, net: Network, shards: Shards, card: Card) -> None:
    """Write the predictions, the tables by class, the first layer's kernels and some samples into ``folder``."""
    names = np.array(card.classes)
    ten = results.ten_crop
    predictions = pd.DataFrame(
        {
            "row": shards.rows,
            "actual": names[results.actual],
            "predicted": names[ten["predicted"]],
            "center_predicted": names[results.center["predicted"]],
            "rank_of_actual": ten["rank"],
            "probability": ten["probability"],
        }
    )
    by_class = pd.DataFrame(
        {
            "class": names[results.actual],
            "center_top1_error": results.center["rank"] > 1,
            "top1_error": ten["rank"] > 1,
            "top5_error": ten["rank"] > 5,
        }
    ).groupby("class", sort=False)
    per_class = by_class.mean().reindex(card.classes)
    per_class.insert(0, "images", by_class.size().reindex(card.classes, fill_value=0))
    confusion = confusion_matrix(results.actual, ten["predicted"], labels=range(len(names)))
    table = pd.DataFrame(confusion, index=pd.Index(names, name="actual"), columns=names)
    write_text(folder / "predictions.csv", predictions.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC))
    write_text(folder / "per_class.csv", per_class.to_csv(index_label="class", quoting=csv.QUOTE_NONNUMERIC))
    write_text(folder / "confusion.csv", table.to_csv(quoting=csv.QUOTE_NONNUMERIC))
    kernels = dict(net.named_parameters())["conv1.weight"].detach().cpu().numpy()
    with whole_file(folder / "kernels.npy") as file:
        np.save(file, np.ascontiguousarray(kernels))
    _write_samples(folder, results, shards, names)


def _write_samples(folder: Path, results: Results, shards: Shards, names: np.ndarray) -> None:
    samples = []
    for number, image in enumerate(np.linspace(0, len(shards) - 1, min(SAMPLES, len(shards))).round().astype(int)):
        file = f"sample-{number}.jpg"
        write_bytes(folder / file, bytes(shards.jpeg(int(image))))
        guesses = zip(results.top[image], results.top_probability[image], strict=True)
        top = [{"class": str(names[label]), "probability": float(likely)} for label, likely in guesses]
        samples.append({"file": file, "actual": str(names[results.actual[image]]), "top": top})
    write_json(folder / "samples.json", samples)
