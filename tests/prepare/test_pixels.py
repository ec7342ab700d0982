"""Every kind of image file becomes the right RGB pixels, or a reason."""

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers.pictures import decoded
from numpy.typing import NDArray
from PIL import Image, ImageOps

from alexnet.prepare.pixels import BadImage, canonical, square

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def plain(color: Any, mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.new(mode, size, color)


def assert_color(pixels: NDArray[np.uint8], color: tuple[int, ...], tolerance: int = 3) -> None:
    assert np.abs(pixels.astype(int) - color).max() <= tolerance


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_each_format_keeps_its_color(kind: str, encoded: Callable[..., bytes]) -> None:
    pixels = decoded(encoded(plain((200, 30, 90)), kind))
    assert pixels.shape == (30, 40, 3)
    assert pixels.dtype == np.uint8
    assert_color(pixels, (200, 30, 90), 6)


def test_grey_and_one_bit_become_three_equal_planes(encoded: Callable[..., bytes]) -> None:
    assert_color(decoded(encoded(plain(77, "L"), "JPEG")), (77, 77, 77), 1)
    assert_color(decoded(encoded(plain(1, "1"), "PNG")), WHITE, 0)


def test_sixteen_bit_grey_is_scaled_not_clipped(encoded: Callable[..., bytes]) -> None:
    deep = Image.fromarray(np.full((30, 40), 100 * 256 + 7, np.uint16))
    assert_color(decoded(encoded(deep, "PNG")), (100, 100, 100), 0)


def test_sixteen_bit_rgb_keeps_its_color(png: Callable[..., bytes]) -> None:
    raw = b"".join(b"\0" + struct.pack(">3H", 200 * 257, 30 * 257, 90 * 257) * 4 for _ in range(4))
    assert_color(decoded(png(4, 4, raw, depth=16)), (200, 30, 90), 0)


def test_palette_with_and_without_transparency(encoded: Callable[..., bytes]) -> None:
    image = plain(RED).quantize(4)
    assert_color(decoded(encoded(image, "PNG")), RED, 0)
    assert_color(decoded(encoded(image, "PNG", transparency=image.getpixel((0, 0)))), WHITE, 0)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_alpha_is_laid_on_white(kind: str, encoded: Callable[..., bytes]) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    assert_color(decoded(encoded(plain((255, 0, 0, 0), "RGBA"), kind, **options)), WHITE, 0)
    assert_color(decoded(encoded(plain((255, 0, 0, 128), "RGBA"), kind, **options)), (255, 127, 127), 1)
    assert_color(decoded(encoded(plain((0, 128), "LA"), "PNG")), (127, 127, 127), 1)


def test_cmyk_of_adobe_and_of_others(encoded: Callable[..., bytes]) -> None:
    inks = (0, 255, 255, 0)  # magenta and yellow: red
    adobe = encoded(plain(inks, "CMYK"), "JPEG", quality=100)
    assert b"Adobe" in adobe
    assert_color(decoded(adobe), RED, 4)
    start = adobe.index(b"\xff\xee")
    length = struct.unpack(">H", adobe[start + 2 : start + 4])[0]
    other = adobe[:start] + adobe[start + 2 + length :]
    # The same stored numbers, not inverted: no magenta, no yellow, but cyan and black.
    assert_color(decoded(other), (0, 0, 0), 4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int, encoded: Callable[..., bytes]) -> None:
    quarters = Image.new("RGB", (40, 20), RED)
    quarters.paste(GREEN, (20, 0, 40, 10))
    quarters.paste(BLUE, (0, 10, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = orientation
    payload = encoded(quarters, "PNG", exif=exif)
    assert np.array_equal(decoded(payload), np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(payload)))))
    if orientation == 6:  # stored lying on its left side
        assert tuple(decoded(payload)[-1, -1]) == GREEN


def test_broken_exif_costs_no_picture(encoded: Callable[..., bytes]) -> None:
    payload = encoded(plain(RED), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xffrubbish")
    assert_color(decoded(payload), RED)


@pytest.mark.parametrize(("width", "height"), [(427, 300), (300, 420), (100, 100), (256, 256), (31, 400)])
def test_the_square_is_the_papers_resize_then_crop(patch: Callable[..., Image.Image], width: int, height: int) -> None:
    image = patch(3, width, height)
    ours = square(image, 256).astype(float)
    scale = 256 / min(image.size)
    resized = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (resized.width - 256) // 2, (resized.height - 256) // 2
    reference = np.asarray(resized.crop((left, top, left + 256, top + 256)), float)
    assert ours.shape == (256, 256, 3)
    # Half a pixel apart at the most, where the margin is odd.
    assert np.abs(ours - reference).mean() < 3


@pytest.mark.parametrize(("width", "height"), [(768, 512), (512, 768), (320, 256), (512, 512)])
def test_the_square_is_exact_where_the_papers_two_steps_meet_whole_pixels(
    patch: Callable[..., Image.Image], width: int, height: int
) -> None:
    image = patch(3, 320, 256).resize((width, height))
    scale = min(width, height) // 256
    resized = image.resize((width // scale, height // scale), Image.Resampling.BICUBIC)
    left, top = (resized.width - 256) // 2, (resized.height - 256) // 2
    ours, expected = square(image, 256), np.asarray(resized.crop((left, top, left + 256, top + 256)))
    assert np.array_equal(ours, expected)


def test_planar_pixels_keep_their_planes() -> None:
    payload = bytes([200]) * 1024 + bytes([30]) * 1024 + bytes(range(256)) * 4
    pixels = canonical(payload, 32, "planar-rgb-32")
    assert_color(pixels[..., :2], (200, 30), 0)
    assert np.array_equal(pixels[..., 2].ravel(), np.arange(1024) % 256)
    with pytest.raises(BadImage, match="truncated"):
        canonical(payload[:-1], 32, "planar-rgb-32")


def test_unreadable_files_have_a_reason(
    encoded: Callable[..., bytes], patch: Callable[..., Image.Image], png: Callable[..., bytes]
) -> None:
    jpeg = encoded(patch(1), "JPEG")
    for payload, reason in {
        b"": "empty file",
        b"this is a text": "not a JPEG, PNG, WebP or BMP image",
        jpeg[: len(jpeg) // 2]: "truncated",
        encoded(patch(1), "PNG")[:500]: "truncated",
        png(50_000, 50_000, bytes(100)): "more than 178,956,970 pixels",
        encoded(patch(1), "GIF"): "not a JPEG, PNG, WebP or BMP image",
        encoded(patch(1), "PNG").replace(b"IDAT", b"IDAT\0\0\0"): "broken",
    }.items():
        with pytest.raises(BadImage, match=f"^{reason}"):
            decoded(payload)


def test_pillows_warnings_stay_inside(png: Callable[..., bytes], recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(BadImage):
        decoded(png(9500, 9500, bytes(100)))
    assert not recwarn.list
