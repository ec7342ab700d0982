"""What the report picks for its tables."""

import numpy as np
import pytest
from scipy.stats import binomtest

from alexnet.report.tables import confused_pairs, interval


def test_most_confused_pairs_come_first() -> None:
    pairs = confused_pairs(np.array([[9, 1, 0], [0, 5, 5], [2, 0, 8]]), ["a", "b", "c"], 2)
    assert [(pair.actual, pair.predicted, pair.count, pair.share) for pair in pairs] == [("b", "c", 5, 0.5), ("c", "a", 2, 0.2)]


@pytest.mark.parametrize(("errors", "images"), [(0, 1), (1, 1), (0, 359), (18, 360), (359, 359), (12_345, 50_000)])
def test_interval_is_the_wilson_interval_of_scipy(errors: int, images: int) -> None:
    expected = binomtest(errors, images).proportion_ci(0.95, method="wilson")
    low, high = interval(errors / images, images)
    np.testing.assert_allclose((low, high), expected, rtol=1e-12, atol=1e-15)
    assert 0 <= low < high <= 1
