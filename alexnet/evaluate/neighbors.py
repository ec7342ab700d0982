"""The training images that are nearest to images of the test, by the features of a layer (the paper's figure 4, right)."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from alexnet.evaluate.evaluation import Runner
from alexnet.evaluate.features import features, last_hidden, nearest, up_to
from alexnet.evaluate.results import SAMPLES, spread
from alexnet.files.whole import whole_file, write_bytes, write_json
from alexnet.input.shards import Shards
from alexnet.models.network import Network

IMAGES = 5000
"""At most this many training images are kept, evenly spread: 40 MB if the layer has 4,096 units."""
NEAREST = 6
"""Training images that are shown beside a sample, as in the paper's figure 4."""


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
