"""What a layer makes of images, and the training images that are nearest to others in it (the paper's figure 4, right)."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from alexnet.evaluate.crops import views
from alexnet.evaluate.evaluation import Runner
from alexnet.evaluate.results import SAMPLES, spread
from alexnet.files.card import Card
from alexnet.files.whole import whole_file, write_bytes, write_json
from alexnet.input.shards import Shards
from alexnet.models.layers import ACTIVATIONS
from alexnet.models.network import Network

IMAGES = 5000
"""At most this many training images are kept, evenly spread: 40 MB if the layer has 4,096 units."""
NEAREST = 6
"""Training images that are shown beside a sample, as in the paper's figure 4."""


def last_hidden(net: Network) -> str:
    """The last layer of ``net`` with weights before the one that classifies: fc7 in the nets of eight layers."""
    return net.weighted[-2]


def up_to(net: Network, layer: str) -> nn.Sequential:
    """The layers of ``net`` up to ``layer``, which it has; with its activation function if it has weights."""
    names = [name for name, _ in net.named_children()]
    end = names.index(layer) + 1
    activated = layer in net.weighted and end < len(net) and isinstance(net[end], tuple(ACTIVATIONS.values()))
    part: nn.Sequential = net[: end + activated]
    return part


@torch.no_grad()
def features(part: nn.Sequential, images: Tensor, card: Card) -> Tensor:
    """The activations of the last layer of ``part``, float32 (N, units), for the centre crops of ``images``.

    ``images``: (N, 3, size, size) centred and scaled. Maps are flattened.
    """
    outputs: Tensor = part(centre(images, card))
    return outputs.flatten(1)


def centre(images: Tensor, card: Card) -> Tensor:
    """The centre crops of ``images``, (N, 3, size, size) centred and scaled: (N, 3, crop_size, crop_size), channels last."""
    crop = next(views(F.pad(images, 4 * [card.crop_padding]), card.crop_size, card.flip))
    return crop.contiguous(memory_format=torch.channels_last)


def nearest(vectors: NDArray[Any], query: NDArray[np.float32], count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The numbers of the ``count`` vectors, (N, units), with the least Euclidean distance to ``query``, and the distances.

    The nearest comes first, and of equal ones that with the lower number.
    """
    squares = [np.square(some.astype(np.float32) - query).sum(1) for some in np.array_split(vectors, -(-len(vectors) // 256))]
    distances = np.sqrt(np.concatenate(squares))
    chosen = np.argsort(distances, kind="stable")[:count]
    return chosen, distances[chosen]


def write_nearest(folder: Path, net: Network, train: Shards, test: Shards, runner: Runner) -> None:
    """Write the features of training images into ``folder``, and the nearest of these for each sample of ``results.write``.

    Training images are compared as they are stored: in float16.
    """
    layer = last_hidden(net)
    part = up_to(net.to(runner.device).eval(), layer)

    def of(shards: Shards, images: NDArray[np.int64]) -> NDArray[np.float16]:
        found = runner.run(lambda inputs: features(part, inputs, runner.card), shards, images)
        vectors = torch.cat([vectors[: batch.count].cpu() for batch, vectors in found])
        return vectors.clamp(max=torch.finfo(torch.float16).max).half().numpy()

    chosen = spread(len(train), IMAGES)
    vectors = of(train, chosen)
    table = np.empty(len(chosen), [("row", "<u4"), ("label", "<i4"), ("vector", "<f2", vectors.shape[1])])
    table["row"], table["label"], table["vector"] = train.rows[chosen], train.labels[chosen], vectors
    with whole_file(folder / "features.npy") as file:
        np.save(file, table)
    samples = []
    for number, query in enumerate(of(test, spread(len(test), SAMPLES)).astype(np.float32)):
        neighbors = []
        for near, distance in zip(*nearest(vectors, query, NEAREST), strict=True):
            image = int(chosen[near])
            name, row = f"train-{image}.jpg", int(train.rows[image])
            write_bytes(folder / name, bytes(train.jpeg(image)))
            actual = runner.card.classes[train.labels[image]]
            neighbors.append({"file": name, "actual": actual, "row": row, "distance": round(float(distance), 3)})
        samples.append({"file": f"sample-{number}.jpg", "nearest": neighbors})
    write_json(
        folder / "nearest.json",
        {"model": runner.card.sha256, "layer": layer, "images": len(chosen), "of": len(train), "samples": samples},
    )
