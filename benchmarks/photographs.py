"""Photographs for the measurements of the data layer: pieces of scikit-learn's two, as JPEG files of a user's folder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from alexnet.config.data import Source
from alexnet.sources.collect import collect
from alexnet.sources.manifest import Manifest

Size = tuple[int, int]
"""Width and height in pixels."""

SPLITS = {"train": 0.8, "val": 0.1, "test": 0.1}


def write(root: Path, images: int, sizes: Sequence[Size], qualities: Sequence[int]) -> Manifest:
    """Write ``images`` JPEGs, 4:2:0, of the sizes and qualities in turn, in two classes, and list them.

    Each is a piece of a photograph that has four fifths of its width or height at the least, enlarged or made smaller.
    """
    photos = [Image.fromarray(photo) for photo in load_sample_images().images]
    random = np.random.default_rng(0)
    bounds = np.cumsum([0, *SPLITS.values()]) * images
    for number in range(images):
        split = list(SPLITS)[int(np.searchsorted(bounds, number, "right")) - 1]
        photo, (width, height) = photos[number % 2], sizes[number % len(sizes)]
        scale = min(photo.width / width, photo.height / height) * random.uniform(0.8, 1)
        left, top = random.uniform(0, photo.width - scale * width), random.uniform(0, photo.height - scale * height)
        piece = photo.resize(
            (width, height), Image.Resampling.BICUBIC, box=(left, top, left + scale * width, top + scale * height)
        )
        path = root / split / "ab"[number // 2 % 2] / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        piece.save(path, "JPEG", quality=qualities[number // len(sizes) % len(qualities)])
    return listed(root)


def listed(root: Path) -> Manifest:
    """The manifest of a user's folder."""
    settings = Source(source="folder", name=None, root=str(root), val_fraction=0.1, test_fraction=0.1, limit=None, blends=1)
    return collect(settings, 0, main=root, raw=root)[0]
