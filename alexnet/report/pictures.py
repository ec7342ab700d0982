"""The pictures made of pixels, as the bytes of PNG and JPEG files: kernels, maps, mean, colour noise, small and large images."""

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alexnet.input.colors import mean_of

KERNEL_SIDE = 66
"""Kernels are enlarged to about this many pixels."""
GAP = 8
"""Pixels between kernels and between maps; three times as many between the towers' kernels."""
MAPS = 36
"""Of a layer, that are shown."""
MAP_SIDE = 55
"""Smaller maps are enlarged to about this many pixels."""
PICTURE_SIDE = 256
"""Smaller images are enlarged to about this many pixels."""
NOISE_SIDE = 200
"""Side of the images that show the colour noise, in pixels."""
NOISE_SEED = 0


def kernels_png(kernels: NDArray[np.float32], towers: int) -> bytes:
    """The kernels (count, 3, side, side) in rows of 16, or of 8 if there are at most 64, each tower's starting a new row.

    The paper's 96 of two towers so give its figure 3, 3 rows above 3. One linear scale for all of them, as only so their
    strengths compare: mid grey is 0, and the largest 0.5 % of the weights saturate. Enlarged by whole pixels; what lies between
    the kernels is transparent.
    """
    limit = float(np.quantile(np.abs(kernels), 0.995)) or 1.0
    shades = _shades(kernels / limit * 127.5 + 127.5).transpose(0, 2, 3, 1)
    return _png(_sheet(shades, 16 if len(kernels) > 64 else 8, KERNEL_SIDE, towers))


def maps_png(maps: NDArray[np.float32]) -> bytes:
    """The up to ``MAPS`` of the maps (count, side, side) with the largest mean, in their order, in rows of 6.

    Black is the least value of all maps, white the largest, where 0.5 % saturate. Enlarged by whole pixels; what lies between
    the maps is transparent.
    """
    low, high = float(maps.min()), float(np.quantile(maps, 0.995))
    strongest = np.sort(np.argsort(-maps.mean(axis=(1, 2)), kind="stable")[:MAPS])
    # 52 shades look like 256 and take a quarter of the bytes.
    shades = _shades(np.rint(np.clip((maps[strongest] - low) / ((high - low) or 1.0), 0, 1) * 51) * 5)
    return _png(_sheet(shades[..., None].repeat(3, axis=3), 6, MAP_SIDE, towers=1))


def mean_jpeg(mean: NDArray[np.float32], setting: str) -> bytes:
    """What is subtracted, from the mean image (3, size, size), RGB, 0..255, by the setting ``mean``."""
    return _jpeg(_enlarged(mean_of(mean, setting).transpose(1, 2, 0), PICTURE_SIDE))


def magnified(jpeg: bytes) -> tuple[bytes, str]:
    """A picture of the image of ``jpeg`` that can be seen, and its media type.

    Small images are enlarged by whole pixels, so that no viewer blurs them; others are left as they are.
    """
    with Image.open(BytesIO(jpeg)) as image:
        if _zoom(max(image.size), PICTURE_SIDE) == 1:
            return jpeg, "image/jpeg"
        return _png(_enlarged(np.asarray(image.convert("RGB")), PICTURE_SIDE)), "image/png"


def thumbnail(jpeg: bytes, side: int) -> bytes:
    """The JPEG of a square image, brought down to ``side`` pixels if it is larger."""
    with Image.open(BytesIO(jpeg)) as image:
        if image.width <= side:
            return jpeg
        small = image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
        return _jpeg(np.asarray(small, dtype=np.float64), quality=80)


def centre_jpeg(jpeg: bytes, side: int) -> bytes:
    """The central crop of ``side`` pixels of a square image, black where it reaches beyond it; enlarged if small."""
    with Image.open(BytesIO(jpeg)) as image:
        start = (image.width - side) // 2
        crop = image.convert("RGB").crop((start, start, start + side, start + side))
    return _jpeg(_enlarged(np.asarray(crop, dtype=np.float64), PICTURE_SIDE))


def jpeg_quality(jpeg: bytes) -> int | None:
    """The quality, 1 to 100, whose quantisation tables libjpeg wrote into ``jpeg``; None if they are not libjpeg's own."""
    tables = _tables(jpeg)
    return next((quality for quality in range(100, 0, -1) if _tables(_blank(quality)) == tables), None)


def noise_alphas(color_noise: float, draws: int) -> NDArray[np.float64]:
    """Weights (draws, 3) on the eigenvectors, drawn from N(0, ``color_noise``) by a fixed seed."""
    return np.random.default_rng(NOISE_SEED).normal(0, color_noise, (draws, 3))


def noisy_jpegs(
    jpeg: bytes, alphas: NDArray[np.float64], lengths: NDArray[np.float64], vectors: list[list[float]]
) -> list[bytes]:
    """The image of ``jpeg``, and for each row of ``alphas`` (draws, 3) the same with sum_i p_i alpha_i length_i added.

    ``lengths`` (3): see ``alexnet.input.colors``; ``vectors`` (3, 3): the eigenvectors p in columns. Paper, section 4.1.
    """
    with Image.open(BytesIO(jpeg)) as image:
        colored = image.convert("RGB")
        large = _zoom(max(image.size), PICTURE_SIDE) == 1
        small = colored.resize((NOISE_SIDE, NOISE_SIDE), Image.Resampling.LANCZOS) if large else colored
    pixels = _enlarged(np.asarray(small, dtype=np.float64), PICTURE_SIDE)
    return [_jpeg(pixels)] + [_jpeg(pixels + shift) for shift in alphas * lengths @ np.asarray(vectors).T]


def _shades(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    shades: NDArray[np.uint8] = np.rint(np.clip(values, 0, 255)).astype(np.uint8)
    return shades


def _sheet(tiles: NDArray[np.uint8], columns: int, wanted: int, towers: int) -> NDArray[np.uint8]:
    """The tiles (count, side, side, 3), enlarged, in rows of ``columns``, each tower's starting a new row: RGBA."""
    of_tower = -(-len(tiles) // towers)
    rows = -(-of_tower // columns)
    side = tiles.shape[1] * _zoom(tiles.shape[1], wanted)
    pitch = side + GAP
    canvas = np.zeros((towers * rows * pitch - GAP + 2 * GAP * (towers - 1), columns * pitch - GAP, 4), np.uint8)
    for index, tile in enumerate(tiles):
        tower, place = divmod(index, of_tower)
        row, column = divmod(place, columns)
        top, left = (tower * rows + row) * pitch + 2 * GAP * tower, column * pitch
        canvas[top : top + side, left : left + side, :3] = _enlarged(tile, wanted)
        canvas[top : top + side, left : left + side, 3] = 255
    return canvas


def _zoom(side: int, wanted: int) -> int:
    return max(1, round(wanted / side))


def _enlarged(pixels: NDArray[Any], wanted: int) -> NDArray[Any]:
    zoom = _zoom(pixels.shape[0], wanted)
    return pixels.repeat(zoom, axis=0).repeat(zoom, axis=1)


def _tables(jpeg: bytes) -> Any:
    with Image.open(BytesIO(jpeg)) as image:
        return image.quantization  # type: ignore[attr-defined]


def _blank(quality: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (8, 8)).save(file, format="JPEG", quality=quality)
    return file.getvalue()


def _png(pixels: NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, format="PNG", optimize=True)
    return file.getvalue()


def _jpeg(pixels: NDArray[np.floating], quality: int = 92) -> bytes:
    file = BytesIO()
    Image.fromarray(_shades(pixels)).save(file, format="JPEG", quality=quality, subsampling=0, optimize=True)
    return file.getvalue()
