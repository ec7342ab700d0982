"""The pictures made of pixels: conv1 kernels, mean image, colour noise, as the bytes of PNG and JPEG files."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

KERNEL_ZOOM = 6
"""Pixels a weight, each way."""
KERNEL_GAP = 8
"""Pixels between kernels; three times as many between the towers."""
NOISE_SIDE = 200
NOISE_SEED = 0


def kernels_png(kernels: NDArray[np.float32]) -> bytes:
    """The 96 kernels (96, 3, 11, 11) as the paper's figure 3: 6 rows of 16, the first tower's 48 above the second's.

    One linear scale for all of them, as only so their strengths compare: mid grey is 0, and the largest 0.5 % of the weights
    saturate. Enlarged by whole pixels; what lies between the kernels is transparent.
    """
    limit = float(np.quantile(np.abs(kernels), 0.995)) or 1.0
    shades = np.rint(np.clip(kernels / limit * 127.5 + 127.5, 0, 255)).astype(np.uint8)
    side = kernels.shape[-1] * KERNEL_ZOOM
    pitch = side + KERNEL_GAP
    canvas = np.zeros((6 * pitch - KERNEL_GAP + 2 * KERNEL_GAP, 16 * pitch - KERNEL_GAP, 4), np.uint8)
    for index, kernel in enumerate(shades):
        row, column = divmod(index, 16)
        top, left = row * pitch + (2 * KERNEL_GAP if row >= 3 else 0), column * pitch
        tile = kernel.transpose(1, 2, 0).repeat(KERNEL_ZOOM, axis=0).repeat(KERNEL_ZOOM, axis=1)
        canvas[top : top + side, left : left + side, :3] = tile
        canvas[top : top + side, left : left + side, 3] = 255
    file = BytesIO()
    Image.fromarray(canvas).save(file, format="PNG", optimize=True)
    return file.getvalue()


def mean_jpeg(mean: NDArray[np.float32]) -> bytes:
    """The mean image (3, size, size), RGB, 0..255."""
    return _jpeg(mean.transpose(1, 2, 0))


def noise_alphas(color_noise: float, draws: int) -> NDArray[np.float64]:
    """Weights (draws, 3) on the eigenvectors, drawn from N(0, ``color_noise``) by a fixed seed."""
    return np.random.default_rng(NOISE_SEED).normal(0, color_noise, (draws, 3))


def noisy_jpegs(jpeg: bytes, alphas: NDArray[np.float64], values: list[float], vectors: list[list[float]]) -> list[bytes]:
    """The image of ``jpeg``, and for each row of ``alphas`` (draws, 3) the same with sum_i p_i alpha_i sqrt(lambda_i) added.

    ``values`` (3) are the eigenvalues lambda on the 0..255 scale, ``vectors`` (3, 3) the eigenvectors p in columns. Paper,
    section 4.1; lambda under the root as in its authors' code.
    """
    with Image.open(BytesIO(jpeg)) as image:
        small = image.convert("RGB").resize((NOISE_SIDE, NOISE_SIDE), Image.Resampling.LANCZOS)
    pixels = np.asarray(small, dtype=np.float64)
    shifts = alphas * np.sqrt(np.maximum(values, 0)) @ np.asarray(vectors).T
    return [_jpeg(pixels)] + [_jpeg(pixels + shift) for shift in shifts]


def _jpeg(pixels: NDArray[np.floating]) -> bytes:
    file = BytesIO()
    Image.fromarray(np.rint(np.clip(pixels, 0, 255)).astype(np.uint8)).save(file, format="JPEG", quality=92, subsampling=0)
    return file.getvalue()
