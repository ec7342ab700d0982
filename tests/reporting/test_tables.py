"""What the report picks for its tables."""

import numpy as np

from alexnet.reporting.tables import confused_pairs, interval


def test_most_confused_pairs_come_first() -> None:
    pairs = confused_pairs(np.array([[9, 1, 0], [0, 5, 5], [2, 0, 8]]), ["a", "b", "c"], 2)
    assert [(pair.actual, pair.predicted, pair.count, pair.share) for pair in pairs] == [("b", "c", 5, 0.5), ("c", "a", 2, 0.2)]


def test_interval_is_wilsons() -> None:
    images, errors, z = 360, 18, 1.959963984540054
    p = errors / images
    middle, half = p + z * z / 2 / images, z * (p * (1 - p) / images + z * z / 4 / images**2) ** 0.5
    expected = [(middle + sign * half) / (1 + z * z / images) for sign in (-1, 1)]
    np.testing.assert_allclose(interval(p, images), expected, rtol=1e-9)
