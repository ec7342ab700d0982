"""Random crops, mirror images and colour noise as functions of (seed, epoch, image); and from pixels to inputs."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import Tensor


def order(seed: int, epoch: int, images: int) -> NDArray[np.int64]:
    """The order in which an epoch sees ``images`` images: a permutation that depends on (seed, epoch) alone."""
    return np.random.Generator(np.random.Philox(key=[seed, 2 * epoch])).permutation(images)


@dataclass(frozen=True)
class Views:
    """Which part of each image is seen, and how: one row per image."""

    top: NDArray[np.int64]
    """First row of the crop, in pixels."""
    left: NDArray[np.int64]
    """First column of the crop."""
    flip: NDArray[np.bool_]
    """Whether the crop is mirrored."""
    noise: NDArray[np.float32]
    """What is added to all pixels of the crop, RGB, on the 0-255 scale; (N, 3)."""

    def of(self, images: NDArray[np.int64] | slice) -> "Views":
        """The views of some of the images."""
        return Views(self.top[images], self.left[images], self.flip[images], self.noise[images])


def random_views(seed: int, epoch: int, images: int, margin: int, flip: bool, noise: NDArray[np.float64]) -> Views:
    """Draw the views of an epoch (paper, section 4.1): a random crop, mirrored with probability 1/2, and colour noise.

    ``margin``: side of the padded image minus side of the crop, in pixels. ``noise``: (3, 3), see
    ``alexnet.input.colors.color_axes``; an image's noise is the sum of its columns, weighted by new draws from N(0, 1)
    in each epoch.
    """
    # A row of uniform numbers per image: its draws do not depend on how many images follow.
    uniform = np.random.Generator(np.random.Philox(key=[seed, 2 * epoch + 1])).random((images, 6))
    top, left = (uniform[:, :2] * (margin + 1)).astype(np.int64).T
    weights = ndtri(np.maximum(uniform[:, 3:], 2**-53))
    return Views(top, left, (uniform[:, 2] < 0.5) & flip, (weights @ noise.T).astype(np.float32))


def center_views(images: int, margin: int) -> Views:
    """The central crop of every image, as it is."""
    middle = np.full(images, margin // 2)
    return Views(middle, middle, np.zeros(images, bool), np.zeros((images, 3), np.float32))


@dataclass(frozen=True)
class Normalization:
    """From the pixels of the squares to the inputs of the net."""

    mean: Tensor
    """float32 (size, size, 3), subtracted."""
    scale: Tensor
    """float32 (3,), divided by after that."""
    padding: int = 0
    """Pixels around the square that crops may reach into, of the mean's colour: 0 after the subtraction."""

    @classmethod
    def of(cls, mean: Tensor, scale: list[float], padding: int, device: torch.device) -> "Normalization":
        """From the mean in image order, (3, size, size)."""
        rows = mean.permute(1, 2, 0).contiguous().to(device)
        return cls(rows, torch.tensor(scale, dtype=torch.float32, device=device), padding)

    @cached_property
    def padded(self) -> tuple[Tensor, Tensor]:
        """The mean of the padded square, and its flip. In both the square and the mean, the padding is 0."""
        mean = F.pad(self.mean, (0, 0, *(4 * [self.padding])))
        return mean, mean.flip(1)

    def part(self, top: int, left: int, side: int, mirrored: bool) -> Tensor:
        """What is subtracted from the crop of ``side`` pixels at ``top``, ``left`` of a padded square, mirrored or not."""
        if mirrored:
            left = self.mean.shape[1] + 2 * self.padding - side - left
        return self.padded[mirrored][top : top + side, left : left + side]


def apply(crops: Iterable[Tensor], views: Views, normalization: Normalization, out: Tensor | None = None) -> Tensor:
    """Subtract the mean, mirror, add the noise and scale: one image at a time, while it is in the cache.

    ``crops``: uint8 (side, side, 3), cut from padded squares at the views' places but not yet mirrored. ``out``: float32
    (N, side, side, 3), filled in, on the crops' device; None for a new one. Returns it as (N, 3, side, side).
    """
    if out is None:
        crops = list(crops)
        out = torch.empty((len(crops), *crops[0].shape), device=crops[0].device)
    side = out.shape[1]
    # Repeat a line of pixels, not a pixel: torch is slow at repeating something short.
    lines = torch.from_numpy(np.repeat(views.noise[:, None], side, 1)).to(out.device)
    scale = normalization.scale.expand(side, 3).contiguous()
    noisy, scaled = bool(views.noise.any()), bool((scale != 1).any())
    places = zip(views.top.tolist(), views.left.tolist(), views.flip.tolist(), strict=True)
    for crop, image, (top, left, mirrored), line in zip(crops, out, places, lines, strict=True):
        torch.sub(crop.flip(1) if mirrored else crop, normalization.part(top, left, side, mirrored), out=image)
        if noisy:
            image += line
        if scaled:
            image /= scale
    return out.permute(0, 3, 1, 2)


def apply_together(squares: Tensor, places: Tensor, views: Views, normalization: Normalization, side: int) -> Tensor:
    """The same as ``apply``, bit for bit, for all images at once: a GPU prefers few large operations.

    ``squares``: uint8 (M, padded, padded, 3), their padding 0. ``places``: int64 (N,), the square of each view. Returns
    (N, 3, side, side).
    """
    device, mean = squares.device, normalization.padded[0]
    top, left, mirrored = sent(np.stack([views.top, views.left, views.flip]).astype(np.int64), device)[:, :, None]
    along = torch.arange(side, device=device)
    rows, columns = top + along, left + torch.where(mirrored.bool(), side - 1 - along, along)
    images = squares[places[:, None, None], rows[:, :, None], columns[:, None]] - mean[rows[:, :, None], columns[:, None]]
    images += sent(views.noise, device)[:, None, None]
    images /= normalization.scale
    return images.permute(0, 3, 1, 2)


def sent(array: NDArray[Any], device: torch.device) -> Tensor:
    """The array on the device; the process does not wait until a GPU has it."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)
