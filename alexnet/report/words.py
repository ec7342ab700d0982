"""Phrases for the report: how a training departs from the paper, and what it does to its images."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from alexnet.files.card import Card
from alexnet.report.inputs import Picture

DEPARTURES = {
    ("activation", "tanh"): "tanh units",
    ("activation", "sigmoid"): "sigmoid units",
    ("pool", "plain"): "pooling windows that do not overlap",
    ("lrn", "off"): "no local response normalisation",
    ("towers", 1): "no groups",
    ("dropout", "off"): "no dropout",
}
"""Settings by which a net departs from the paper's."""


def departures(card: Card) -> str:
    """How the net departs from the paper's by its switches; empty if it does not."""
    return listed([words for (name, value), words in DEPARTURES.items() if card.settings[name] == value])


def disturbances(card: Card) -> str:
    """What makes the training's images and activations harder than the test's; empty if nothing does."""
    shaken = {
        "dropout": card.settings["dropout"] not in (None, "off"),
        "random crops": margin(card) > 0,
        "reflections": card.flip,
        "colour noise": card.settings["color_noise"] > 0,
    }
    return listed([words for words, holds in shaken.items() if holds])


def other_classes(query: Picture, nearest: list[Picture]) -> str:
    """The classes of ``nearest`` that are not the query's, each with its number of images; empty if there is none."""
    counts = Counter(picture.actual for picture in nearest if picture.actual != query.actual)
    return ", ".join(f"{count} × {name}" for name, count in counts.items())


def smoothness(kernels: NDArray[np.float32]) -> float:
    """The correlation between neighbouring weights of the kernels (count, 3, side, side): 0 for random numbers, at most 1."""
    values = kernels.astype(np.float64)
    across, down = values[..., 1:] * values[..., :-1], values[..., 1:, :] * values[..., :-1, :]
    return float((across.mean() + down.mean()) / 2 / ((values**2).mean() or 1.0))


def steps(card: Card) -> int:
    """Batches of the training up to the kept epoch."""
    batch: int = card.settings["batch_size"]
    return card.epoch * -(-card.data.images["train"] // batch)


def margin(card: Card) -> int:
    """Pixels by which a padded image is larger than a crop."""
    return card.size + 2 * card.crop_padding - card.crop_size


def listed(words: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
