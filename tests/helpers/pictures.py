"""Fixtures: small sets of real pictures, for the tests of the sources and of the preparation. ``conftest.py`` loads them."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from alexnet.config.data import Source
from alexnet.prepare.pixels import decode
from alexnet.sources import folder
from alexnet.sources.hashes import hashed
from alexnet.sources.listing import Request
from alexnet.sources.manifest import SPLITS, Manifest
from alexnet.sources.split import complete


def decoded(payload: bytes) -> NDArray[np.uint8]:
    """The pixels of an image file, RGB (height, width, 3)."""
    return np.asarray(decode(payload))


@pytest.fixture
def settings() -> Callable[..., Source]:
    """The section ``data`` without rejects, some keys changed."""

    def make(**changes: object) -> Source:
        return Source.model_validate(
            {"source": "folder", "name": None, "root": "images", "val_fraction": 0.2, "test_fraction": 0.2}
            | {"limit": None, "blends": 2}
            | changes
        )

    return make


@pytest.fixture(scope="session")
def patch() -> Callable[[int, int, int], Image.Image]:
    """A piece of a photograph: number, width, height."""
    photos = load_sample_images().images

    def make(number: int, width: int = 60, height: int = 48) -> Image.Image:
        rng = np.random.default_rng(number)
        photo = photos[number % 2]
        top, left = rng.integers(photo.shape[0] - height), rng.integers(photo.shape[1] - width)
        return Image.fromarray(photo[top : top + height, left : left + width])

    return make


@pytest.fixture
def images(tmp_path: Path, patch: Callable[..., Image.Image]) -> Path:
    """A folder of two classes, 40 training images each, without val and test."""
    for name, first in (("cat", 0), ("dog", 100)):
        place = tmp_path / "images/train" / name
        place.mkdir(parents=True)
        for number in range(40):
            patch(first + number).save(place / f"{number:02}.jpg", quality=90)
    return tmp_path / "images"


@pytest.fixture
def listed(images: Path, settings: Callable[..., Source]) -> Callable[[], Manifest]:
    """Lists ``images`` as the stage download does."""

    def scan() -> Manifest:
        found = folder.find(Request(settings(), 0, main=images.parent, raw=images.parent / "raw"))
        rows = sorted(complete(found.rows, 0.2, 0.2, 0, found.classes), key=lambda row: (SPLITS.index(row.split), row.path))
        return Manifest("folder", found.classes, True, "encoded", "images", hashed(rows, images))

    return scan


@pytest.fixture
def encoded() -> Callable[..., bytes]:
    """An image as the bytes of a file: image, format, Pillow's options."""

    def make(image: Image.Image, kind: str, **options: object) -> bytes:
        file = io.BytesIO()
        image.save(file, kind, **options)
        return file.getvalue()

    return make


@pytest.fixture
def png() -> Callable[..., bytes]:
    """A PNG by hand, RGB: width and height as its header says, the scan lines that it holds, bits a sample."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    def make(width: int, height: int, lines: bytes, depth: int = 8) -> bytes:
        header = struct.pack(">2I5B", width, height, depth, 2, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")

    return make
