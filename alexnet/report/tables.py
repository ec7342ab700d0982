"""The contents of tables: confidence intervals, best and worst classes, confused pairs."""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from alexnet.report.inputs import ClassErrors


@dataclass(frozen=True)
class Pair:
    """Two confused classes: ``count`` images of ``actual``, ``share`` of all of them, were predicted as ``predicted``."""

    actual: str
    predicted: str
    count: int
    share: float


def interval(error: float, images: int) -> tuple[float, float]:
    """Wilson's 95 % interval of an error rate (a fraction of 1) measured on ``images`` images; it is good near 0 too."""
    z = NormalDist().inv_cdf(0.975)
    middle, spread = error + z**2 / (2 * images), z * sqrt(error * (1 - error) / images + (z / (2 * images)) ** 2)
    low, high = ((middle + sign * spread) / (1 + z**2 / images) for sign in (-1, 1))
    return max(low, 0.0), min(high, 1.0)


def worst_and_best(classes: list[ClassErrors], each: int) -> tuple[list[ClassErrors], list[ClassErrors]]:
    """The ``each`` classes with the largest top-1 error, worst first, and with the smallest, best first; ties in label order."""
    worst = sorted(classes, key=lambda entry: -entry.top1_error)[:each]
    best = sorted(classes, key=lambda entry: entry.top1_error)[:each]
    return worst, best


def confused_pairs(confusion: NDArray[np.int64], names: list[str], most: int) -> list[Pair]:
    """The ``most`` largest entries off the diagonal of ``confusion`` (classes, classes), largest first."""
    wrong = confusion * (1 - np.eye(len(confusion), dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = []
    for actual, predicted in zip(*np.unravel_index(order, wrong.shape), strict=True):
        count = int(wrong[actual, predicted])
        if count:
            share = count / int(confusion[actual].sum())
            pairs.append(Pair(names[actual], names[predicted], count, share))
    return pairs
