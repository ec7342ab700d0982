"""A photograph's central square made smaller: Pillow's bicubic filter as products of small matrices, in half the time or less."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Pixels, weights and sums are integers below 2^24 times a power of two, which float32 adds without rounding. So no byte depends
# on the order in which BLAS adds, nor on the CPU. (The absolute weights of a pixel sum to 1.35 at the most.)
FIRST, SECOND = 14, 12
"""Bits of the weights of the vertical pass, and of the horizontal."""
BETWEEN = 3
"""Bits behind the point of the pixels between the passes."""
ROWS, COLUMNS = 8, 4
"""Pixels that a block makes: larger ones multiply more zeros, smaller ones make more calls."""


class Block(NamedTuple):
    """Some neighbouring pixels of the output, and the weights of the input's pixels in each."""

    out: slice
    taps: slice
    weights: NDArray[np.float32]


def reduced(image: NDArray[np.uint8], left: float, top: float, side: float, size: int) -> NDArray[np.uint8]:
    """The square of ``side`` pixels at ``left``, ``top``, which need not be whole, as ``size`` pixels a side, at most ``side``.

    RGB uint8, (h, w, 3) in and (size, size, 3) out. Pixels beyond the square count if the filter reaches them.
    """
    height, width = image.shape[:2]
    rows, columns = _vertical(height, top, side, size), _horizontal(width, left, side, size)
    first, last = columns[0].taps.start, columns[-1].taps.stop
    lines = image.reshape(height, 3 * width)[:, first:last]
    between = np.empty((size, last - first), np.float32)
    some = np.empty((max(block.weights.shape[1] for block in rows), last - first), np.float32)
    for block in rows:
        taps = some[: block.weights.shape[1]]
        taps[:] = lines[block.taps]
        np.matmul(block.weights, taps, out=between[block.out])
    np.rint(between, out=between)
    square = np.empty((size, 3 * size), np.float32)
    for block in columns:
        taps = between[:, block.taps.start - first : block.taps.stop - first]
        np.matmul(taps, block.weights, out=square[:, block.out])
    np.rint(square, out=square)
    np.clip(square, 0, 255, out=square)
    return square.astype(np.uint8).reshape(size, size, 3)


@lru_cache(maxsize=64)
def _vertical(extent: int, start: float, side: float, size: int) -> list[Block]:
    weights = _weights(extent, start, side, size, FIRST) * 2**BETWEEN
    return [Block(out, taps, weights[out, taps].copy()) for out, taps in _bands(weights, ROWS)]


@lru_cache(maxsize=64)
def _horizontal(extent: int, start: float, side: float, size: int) -> list[Block]:
    weights = _weights(extent, start, side, size, SECOND) / 2**BETWEEN
    # Red, green and blue of a pixel lie side by side.
    colors = np.eye(3, dtype=np.float32)
    return [Block(_thrice(out), _thrice(taps), np.kron(weights[out, taps].T, colors)) for out, taps in _bands(weights, COLUMNS)]


def _thrice(pixels: slice) -> slice:
    return slice(3 * pixels.start, 3 * pixels.stop)


def _weights(extent: int, start: float, side: float, size: int, bits: int) -> NDArray[np.float32]:
    # Catmull-Rom's cubic, stretched by the scale, at the distance of each input pixel from each output pixel: (size, extent).
    scale = side / size
    centers = start + (np.arange(size) + 0.5) * scale
    x = np.abs(np.arange(extent) + 0.5 - centers[:, None]) / scale
    weights = np.where(x < 1, (1.5 * x - 2.5) * x * x + 1, np.where(x < 2, ((-0.5 * x + 2.5) * x - 4) * x + 2, 0))
    whole = np.rint(weights / weights.sum(1, keepdims=True) * 2**bits)
    # The largest weight takes what rounding left over: an even area keeps its colour.
    whole[np.arange(size), whole.argmax(1)] += 2**bits - whole.sum(1)
    return np.asarray(whole / 2**bits, np.float32)


def _bands(weights: NDArray[np.float32], pixels: int) -> Iterator[tuple[slice, slice]]:
    # For each ``pixels`` outputs the inputs that count in them.
    for first in range(0, len(weights), pixels):
        out = slice(first, min(first + pixels, len(weights)))
        used = np.flatnonzero(weights[out].any(0))
        yield out, slice(int(used[0]), int(used[-1]) + 1)
