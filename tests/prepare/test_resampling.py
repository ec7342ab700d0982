"""Photographs made smaller by the quick way are what Pillow makes of them; all other images are Pillow's own."""

import io
from collections.abc import Callable
from itertools import product
from statistics import median

import numpy as np
import pytest
from helpers.pictures import decoded
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from alexnet.prepare.pixels import BadImage, canonical
from alexnet.prepare.resampling import reduced

BICUBIC = Image.Resampling.BICUBIC
SIZES = [(500, 375), (375, 500), (640, 427), (257, 300), (700, 300), (800, 600), (1030, 771), (427, 1280), (1601, 1201)]


@pytest.fixture(scope="module")
def photograph() -> Callable[..., Image.Image]:
    """One of the two photographs, its middle of the shape asked for, in the size asked for."""
    photos = [Image.fromarray(photo) for photo in load_sample_images().images]

    def make(number: int, width: int, height: int) -> Image.Image:
        photo = photos[number]
        scale = min(photo.width / width, photo.height / height)
        left, top = (photo.width - scale * width) / 2, (photo.height - scale * height) / 2
        return photo.resize((width, height), BICUBIC, box=(left, top, left + scale * width, top + scale * height))

    return make


def by_pillow(payload: bytes, size: int) -> NDArray[np.uint8]:
    """The central square, by Pillow alone."""
    image = Image.open(io.BytesIO(payload)).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return np.asarray(image.resize((size, size), BICUBIC, box=(left, top, left + side, top + side)))


def decibels(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """The peak signal-to-noise ratio of two images."""
    noise = np.square(one.astype(float) - other).mean()
    return float(10 * np.log10(255**2 / noise)) if noise else np.inf


def test_a_photograph_is_as_pillow_makes_it(photograph: Callable[..., Image.Image], encoded: Callable[..., bytes]) -> None:
    """To rounding where all of it is decoded; from 768 pixels on, a half or less is, which leaves more noise."""
    found: dict[bool, list[float]] = {True: [], False: []}
    for number, (width, height) in product((0, 1), SIZES):
        payload = encoded(photograph(number, width, height), "JPEG", quality=90)
        found[min(width, height) < 768].append(decibels(canonical(payload, 256), by_pillow(payload, 256)))
    assert min(found[True]) > 50
    assert min(found[False]) > 40
    assert median(found[False]) > 45


@pytest.mark.parametrize("size", [(500, 375), (1024, 768)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("options", [{"subsampling": 0}, {"subsampling": 1}, {"progressive": True}, {"quality": 30}])
def test_jpegs_of_any_kind_are(
    size: tuple[int, int],
    mode: str,
    options: dict[str, int],
    photograph: Callable[..., Image.Image],
    encoded: Callable[..., bytes],
) -> None:
    payload = encoded(photograph(0, *size).convert(mode), "JPEG", **options)
    assert decibels(canonical(payload, 256), by_pillow(payload, 256)) > (50 if size[1] < 768 else 38)


def test_an_even_area_keeps_its_colour(encoded: Callable[..., bytes]) -> None:
    for color in [(0, 0, 0), (255, 255, 255), (7, 200, 131)]:
        image = np.full((301, 399, 3), color, np.uint8)
        assert (reduced(image, 49.3, 0.2, 300.5, 256) == color).all()
        # Many small weights, each rounded.
        assert (reduced(image, 49.3, 0.2, 300.5, 5) == color).all()


@pytest.mark.parametrize(("side", "size"), [(375, 256), (257, 256), (383.5, 256), (401, 64)])
def test_sums_are_exact(side: float, size: int) -> None:
    """As in integers of 64 bits: what the CPU's kernels add up in which order changes nothing. Black and white are the worst."""
    random = np.random.default_rng(0)
    for pixels in (random.integers(0, 256, (402, 500, 3)), 255 * random.integers(0, 2, (402, 500, 3))):
        between = np.rint(np.tensordot(weights(402, 0.5, side, size, 14), pixels, (1, 0)) / 2.0 ** (14 - 3)).astype(np.int64)
        exact = np.tensordot(weights(500, 40.25, side, size, 12), between, (1, 1)).transpose(1, 0, 2) / 2.0 ** (12 + 3)
        ours = reduced(pixels.astype(np.uint8), 40.25, 0.5, side, size)
        assert np.array_equal(ours, np.clip(np.rint(exact), 0, 255))


def weights(extent: int, start: float, side: float, size: int, bits: int) -> NDArray[np.int64]:
    """Keys' cubic kernel of -1/2, tap by tap, in 2^-bits."""
    matrix = np.zeros((size, extent))
    for pixel in range(size):
        for tap in range(extent):
            x = abs(tap + 0.5 - start - (pixel + 0.5) * side / size) / (side / size)
            if x < 2:
                matrix[pixel, tap] = 1.5 * x**3 - 2.5 * x**2 + 1 if x < 1 else -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    whole: NDArray[np.int64] = np.rint(matrix / matrix.sum(1)[:, None] * 2**bits).astype(np.int64)
    for row in whole:
        row[row.argmax()] += 2**bits - row.sum()
    return whole


def test_all_other_images_are_pillows_own(photograph: Callable[..., Image.Image], encoded: Callable[..., bytes]) -> None:
    large, small = photograph(0, 500, 375), photograph(1, 200, 150)
    for image, kind in [
        (large, "PNG"),
        (large, "WEBP"),
        (large, "BMP"),
        (large.convert("CMYK"), "JPEG"),
        (small, "JPEG"),
        (photograph(0, 256, 400), "JPEG"),
    ]:
        payload = encoded(image, kind)
        assert np.array_equal(canonical(payload, 256), by_pillow(payload, 256)), (kind, image.mode, image.size)


def test_a_photograph_that_lies_on_its_side_is_set_upright_by_pillow(
    photograph: Callable[..., Image.Image], encoded: Callable[..., bytes]
) -> None:
    image = photograph(0, 500, 375)
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = encoded(image, "JPEG", exif=exif, quality=100, subsampling=0)
    upright = encoded(image.transpose(Image.Transpose.ROTATE_270), "PNG")
    assert decibels(canonical(lying, 256), by_pillow(upright, 256)) > 45


@pytest.mark.parametrize("progressive", [False, True])
def test_broken_photographs_have_the_reason_that_pillow_gives(
    progressive: bool, photograph: Callable[..., Image.Image], encoded: Callable[..., bytes]
) -> None:
    """Or are mended as Pillow mends them: of cut files and of files with a byte changed."""
    payload = encoded(photograph(0, 300, 290), "JPEG", progressive=progressive)
    random = np.random.default_rng(0)
    broken = [payload[:length] for length in (*random.integers(0, len(payload), 10), len(payload) - 1, len(payload) - 2)]
    for at in random.integers(len(payload), size=15):
        broken.append(payload[:at] + bytes([payload[at] ^ 0x55]) + payload[at + 1 :])
    for flawed in broken:
        try:
            decoded(flawed)
        except BadImage as bad:
            with pytest.raises(BadImage) as ours:
                canonical(flawed, 256)
            assert str(ours.value) == str(bad)
        else:
            assert decibels(canonical(flawed, 256), by_pillow(flawed, 256)) > 50
