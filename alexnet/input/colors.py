"""What the statistics of the training pixels are used for: mean subtraction, scaling, colour noise."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

MEANS = {"image": (), "channel": (1, 2)}
"""The axes of the mean image (3, size, size) that are averaged over."""
SCALES = {255: False, "unit": True}
"""Whether centred pixels are divided by the standard deviation of their channel."""
NOISE_SCALES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "stdev": np.sqrt,
    "eigenvalues": lambda values: values / 255,
}
"""From eigenvalues, on the 0-255 scale, to grey levels: by the root, as in the authors' code, or by the eigenvalue, as printed.

The eigenvalue has the square of a pixel's unit: on 0-255 it would drown the image, so it must be meant for pixels in 0..1.
"""


def mean_of(image: NDArray[np.float32], mean: str) -> NDArray[np.float32]:
    """What is subtracted from the squares: the mean image (3, size, size) averaged as ``MEANS`` has it, in the same shape."""
    average = image.mean(MEANS[mean], dtype=np.float64, keepdims=True)
    return np.ascontiguousarray(np.broadcast_to(average, image.shape), np.float32)


def scale_of(covariance: NDArray[np.float64], scale: str | int) -> list[float]:
    """What centred pixels are divided by, RGB: 1, or the standard deviations in the covariance (3, 3) of the pixels.

    A channel with a single value is left as it is.
    """
    deviations = np.sqrt(np.diag(covariance)) if SCALES[scale] else np.ones(3)
    return [float(deviation) or 1.0 for deviation in deviations]


def noise_lengths(eigenvalues: NDArray[np.float64], scale: str) -> NDArray[np.float64]:
    """What a weight of 1 adds along each eigenvector, in grey levels: (3,) in, (3,) out, by ``NOISE_SCALES``."""
    return NOISE_SCALES[scale](np.maximum(eigenvalues, 0))


def color_axes(
    eigenvalues: NDArray[np.float64], eigenvectors: NDArray[np.float64], sigma: float, scale: str
) -> NDArray[np.float64]:
    """The directions of the colour noise: column j is eigenvector j times sigma times its length.

    (3,), (3, 3) and a scalar in, (3, 3) out.
    """
    return eigenvectors * (sigma * noise_lengths(eigenvalues, scale))
