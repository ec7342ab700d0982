"""The special cases of JPEG, PNG, WebP and BMP: each is read as viewers show it, on white, and metadata costs no picture."""

import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers.pictures import decoded
from PIL import Image

from alexnet.prepare.pixels import BadImage, canonical

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
COLOR = (200, 30, 90)
HALF = (227, 142, 172)
"""That colour on white, its alpha 128 of 255."""
LONG = zlib.compress(bytes(2_000_000))
"""Pillow unpacks at most a megabyte of metadata."""


def chunk(name: bytes, content: bytes, checksum: int | None = None) -> bytes:
    code = zlib.crc32(name + content) if checksum is None else checksum
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", code)


def png(depth: int, color: int, *lines: bytes, before: bytes = b"", after: bytes = b"", width: int = 4) -> bytes:
    """A PNG of packed lines: bits a sample, type of colour, chunks before and after the pixels."""
    header = struct.pack(">2I5B", width, len(lines), depth, color, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + line for line in lines))
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + before + chunk(b"IDAT", pixels) + after + chunk(b"IEND", b"")


def bmp(bits: int, rows: bytes, *, header: int = 40, masks: bytes = b"", palette: bytes = b"", **more: int) -> bytes:
    """A BMP of 4x4 pixels: its rows as stored, the length of its header, masks for BITFIELDS, a palette (four bytes a colour)."""
    compression = more.get("compression", 3 if masks else 0)
    fields = header, 4, more.get("height", 4), 1, bits, compression, len(rows), 0, 0, len(palette) // 4, 0
    start = struct.pack("<IiiHHIIiiII", *fields) + (masks if header == 40 else masks[: header - 40].ljust(header - 40, b"\0"))
    at = 14 + len(start) + len(palette)
    return b"BM" + struct.pack("<IHHI", at + len(rows), 0, 0, at) + start + palette + rows


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def colors(payload: bytes, row: int = 0) -> list[tuple[int, ...]]:
    """The pixels of a row."""
    return [tuple(pixel) for pixel in decoded(payload)[row].tolist()]


def quarters(side: int = 16) -> Image.Image:
    image = Image.new("RGB", (2 * side, side), RED)
    image.paste(GREEN, (side, 0, 2 * side, side // 2))
    image.paste(BLUE, (0, side // 2, side, side))
    return image


LINE = bytes(COLOR) * 4
METADATA = {
    "compressed text": chunk(b"zTXt", b"key\0\0" + LONG),
    "international text": chunk(b"iTXt", b"key\0\1\0\0\0" + LONG),
    "a colour profile": chunk(b"iCCP", b"name\0\0" + LONG),
    "much text": chunk(b"tEXt", b"key\0" + bytes(68_000_000)),
    "a wrong checksum": chunk(b"tEXt", b"key\0text", checksum=7),
    "an unknown compression": chunk(b"zTXt", b"key\0\7text"),
    "an empty profile": chunk(b"iCCP", b""),
    "a short gamma": chunk(b"gAMA", b"\0"),
    "a short resolution": chunk(b"pHYs", b""),
    "a broken animation": chunk(b"acTL", b"\0") + chunk(b"fcTL", b"\0"),
    "rubbish for EXIF": chunk(b"eXIf", b"rubbish"),
}


@pytest.mark.parametrize("kind", METADATA)
def test_no_metadata_costs_a_png(kind: str) -> None:
    for payload in (png(8, 2, LINE, LINE, before=METADATA[kind]), png(8, 2, LINE, LINE, after=METADATA[kind])):
        assert colors(payload) == 4 * [COLOR]
    exif = chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0")
    assert decoded(png(8, 2, LINE, LINE, before=METADATA[kind] + exif)).shape == (4, 2, 3), "the orientation still counts"


def test_a_png_cut_off_after_its_pixels_is_whole() -> None:
    assert colors(png(8, 2, LINE, after=chunk(b"tEXt", b"key\0" + bytes(1000)))[:-500]) == 4 * [COLOR]


def test_broken_pixels_are_refused_whatever_the_metadata() -> None:
    lines = [bytes(np.random.default_rng(row).integers(0, 256, 1200, np.uint8)) for row in range(400)]
    whole = png(8, 2, *lines, before=METADATA["compressed text"], width=400)
    assert decoded(whole).shape == (400, 400, 3)
    with pytest.raises(BadImage, match=r"^truncated$"):
        decoded(whole[: len(whole) // 2])
    with pytest.raises(BadImage, match=r"^truncated$"):
        decoded(png(8, 2, LINE, before=chunk(b"tEXt", b"key\0" + bytes(1000)))[:500])


@pytest.mark.parametrize(
    "metadata",
    [
        segment(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4"),
        segment(0xE2, b"ICC_PROFILE\0\1"),
        segment(0xE2, b"MPF\0rubbish"),
        segment(0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff"),
        segment(0xE0, b"JFIF"),
        segment(0xEE, b"Adobe"),
        segment(0xFE, bytes(60_000)) * 40,
    ],
)
@pytest.mark.parametrize("side", [16, 300])
def test_no_metadata_costs_a_jpeg(metadata: bytes, side: int, encoded: Callable[..., bytes]) -> None:
    """Of one that becomes a smaller square, too, which has a reader of its own."""
    plain = encoded(quarters(side), "JPEG", quality=95)
    for payload in (plain, plain[:2] + plain[20:]):  # with and without JFIF
        square = canonical(payload[:2] + metadata + payload[2:], 64)
        assert np.abs(square.astype(int) - canonical(plain, 64)).mean() < 1
    turned = encoded(quarters(side), "JPEG", quality=95, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0")
    if not metadata.startswith(b"\xff\xe1"):
        assert decoded(turned[:2] + metadata + turned[2:]).shape == (2 * side, side, 3), "the orientation still counts"


def test_no_metadata_costs_a_webp(encoded: Callable[..., bytes]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    payload = encoded(quarters(), "WEBP", lossless=True, exif=exif, xmp=b"x" * 100, icc_profile=b"rubbish" * 500_000)
    upside_down = np.asarray(quarters().transpose(Image.Transpose.ROTATE_180))
    assert np.array_equal(decoded(payload), upside_down)
    assert np.array_equal(decoded(payload[:-90]), upside_down)
    assert np.array_equal(decoded(payload[:-120]), np.asarray(quarters())), "without the orientation, which is cut off"
    with pytest.raises(BadImage, match=r"^broken"):
        decoded(encoded(quarters(), "WEBP", lossless=True)[:-8])


def test_grey_of_each_depth_and_its_transparent_level() -> None:
    def transparent(level: int) -> bytes:
        return chunk(b"tRNS", struct.pack(">H", level))

    deep = struct.pack(">4H", 0x6407, 0x6408, 0, 0xFFFF)
    assert [pixel[0] for pixel in colors(png(16, 0, deep))] == [100, 100, 0, 255]
    for depth, line, level, expected in (
        (1, b"\x50", 0, [255, 255, 255, 255]),
        (1, b"\x50", 1, [0, 255, 0, 255]),
        (2, b"\x1b", 1, [0, 255, 170, 255]),
        (4, b"\x0f\x37", 3, [0, 255, 255, 119]),
        (8, bytes([0, 15, 100, 255]), 15, [0, 255, 100, 255]),
        (16, deep, 0x6407, [255, 100, 0, 255]),
    ):
        assert [pixel[0] for pixel in colors(png(depth, 0, line, before=transparent(level)))] == expected, (depth, level)


def test_the_transparent_colour_of_8_and_16_bits() -> None:
    named = chunk(b"tRNS", struct.pack(">3H", *COLOR))
    assert colors(png(8, 2, bytes(COLOR) + bytes(9), before=named)) == [WHITE, BLACK, BLACK, BLACK]
    deep, other = (200 << 8 | 1, 30 << 8 | 2, 90 << 8 | 3), (1 << 8 | 200, 2 << 8 | 30, 3 << 8 | 90)
    line = struct.pack(">12H", *deep, *3 * (0, 0, 0))
    assert colors(png(16, 2, line, before=chunk(b"tRNS", struct.pack(">3H", *deep)))) == [WHITE, BLACK, BLACK, BLACK]
    assert colors(png(16, 2, line, before=chunk(b"tRNS", struct.pack(">3H", *other)))) == [COLOR, BLACK, BLACK, BLACK]


@pytest.mark.parametrize(("depth", "line"), [(1, b"\x50"), (2, b"\x11"), (4, b"\x01\x01"), (8, b"\0\1\0\1")])
def test_palettes_of_each_depth_with_an_alpha_for_each_colour(depth: int, line: bytes) -> None:
    table = chunk(b"PLTE", bytes((*COLOR, *BLUE)))
    assert colors(png(depth, 3, line, before=table)) == [COLOR, BLUE, COLOR, BLUE]
    assert colors(png(depth, 3, line, before=table + chunk(b"tRNS", b"\x80"))) == [HALF, BLUE, HALF, BLUE]
    assert colors(png(depth, 3, line, before=table + chunk(b"tRNS", b"\xff\0"))) == [COLOR, WHITE, COLOR, WHITE]


def test_alpha_of_8_and_16_bits() -> None:
    assert colors(png(8, 4, b"\x64\x80" * 4)) == 4 * [(177, 177, 177)]
    assert colors(png(16, 4, b"\x64\1\x80\2" * 4)) == 4 * [(177, 177, 177)]
    assert colors(png(8, 6, (bytes(COLOR) + b"\x80") * 4)) == 4 * [HALF]
    assert colors(png(16, 6, b"".join(bytes([value, 7]) for value in (*COLOR, 0x80)) * 4)) == 4 * [HALF]


def test_an_interlaced_png_is_the_same_picture(patch: Callable[..., Image.Image]) -> None:
    pixels = np.asarray(patch(1, 21, 13))
    passes = [pixels[top::down, left::right] for top, left, down, right in ADAM7]
    lines = b"".join(b"\0" + line.tobytes() for part in passes for line in part if part.size)
    header = struct.pack(">2I5B", 21, 13, 8, 2, 0, 0, 1)
    payload = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    assert np.array_equal(decoded(payload), pixels)
    assert np.array_equal(decoded(payload[:33] + METADATA["compressed text"] + payload[33:]), pixels)


ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""Of each pass: first row and column, and their steps."""


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animation_the_first_picture_is_taken(kind: str, encoded: Callable[..., bytes]) -> None:
    others = [Image.new("RGB", (8, 8), color) for color in (GREEN, BLUE)]
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    payload = encoded(Image.new("RGB", (8, 8), RED), kind, save_all=True, append_images=others, **options)
    assert colors(payload) == 8 * [RED]
    clear = encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 0)), kind, save_all=True, append_images=others, **options)
    assert colors(clear) == 8 * [WHITE]
    if kind == "PNG":
        assert colors(payload[:33] + METADATA["compressed text"] + payload[33:]) == 8 * [RED]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_format_with_exif_is_turned_upright(kind: str, encoded: Callable[..., bytes]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = decoded(encoded(quarters(), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {})))
    assert pixels.shape == (32, 16, 3)
    assert np.abs(pixels[-2, -2].astype(int) - np.array(GREEN)).max() < 8


def test_grey_progressive_and_unconverted_jpegs(encoded: Callable[..., bytes]) -> None:
    """In both readers: that of small images, and that of images that become smaller."""
    for side in (16, 300):
        image = quarters(side)
        expected = canonical(encoded(image, "PNG"), 64).astype(int)
        for options in ({"progressive": True}, {"keep_rgb": True}, {"restart_marker_blocks": 1}):
            square = canonical(encoded(image, "JPEG", quality=98, subsampling=0, **options), 64)
            assert np.abs(square - expected).mean() < 4, options
        grey = canonical(encoded(image.convert("L"), "JPEG", quality=98), 64)
        assert np.array_equal(grey[..., 0], grey[..., 2])
        assert np.abs(grey - canonical(encoded(image.convert("L"), "PNG"), 64).astype(int)).mean() < 3


def test_ycck_is_converted_to_cmyk_first(encoded: Callable[..., bytes]) -> None:
    """What Adobe's programs write: the inks as YCbCr, black inverted, and the transformation 2 in their marker."""
    inks = np.array([60, 160, 90, 40])
    luma = np.array([[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]]) @ inks[:3] + [0, 128, 128]
    # Pillow inverts what it writes.
    given = np.full((16, 16, 4), [*(255 - luma.round()), inks[3]], np.uint8)
    payload = bytearray(encoded(Image.fromarray(given, "CMYK"), "JPEG", quality=100, subsampling=0))
    payload[payload.index(b"Adobe") + 11] = 2
    assert np.abs(decoded(bytes(payload))[8, 8] - (255 - inks[:3]) * (255 - inks[3]) / 255).max() <= 4


BGRA = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
PIXEL = bytes(COLOR[::-1])


@pytest.mark.parametrize("header", [56, 108, 124])
def test_an_alpha_channel_that_nobody_filled_in_is_ignored(header: int) -> None:
    assert colors(bmp(32, 16 * (PIXEL + b"\0"), header=header, masks=BGRA)) == 4 * [COLOR]
    assert colors(bmp(32, 16 * (PIXEL + b"\x80"), header=header, masks=BGRA)) == 4 * [HALF]
    assert colors(bmp(32, 15 * (PIXEL + b"\0") + PIXEL + b"\xff", header=header, masks=BGRA)) == [WHITE, WHITE, WHITE, COLOR]


def test_bitmaps_of_32_24_and_16_bits() -> None:
    assert colors(bmp(32, 16 * (PIXEL + b"\0"))) == 4 * [COLOR]
    assert colors(bmp(32, 16 * (PIXEL + b"\0"), masks=BGRA[:12])) == 4 * [COLOR]
    assert colors(bmp(32, 16 * (PIXEL + b"\0"), header=108, compression=0)) == 4 * [COLOR]
    assert colors(bmp(32, 16 * (PIXEL + b"\0"), header=124, compression=3)) == 4 * [COLOR], "masks of zero"
    assert colors(bmp(24, 16 * PIXEL)) == 4 * [COLOR]
    five = struct.pack("<H", 25 << 10 | 4 << 5 | 11)
    assert colors(bmp(16, 16 * five)) == 4 * [(205, 32, 90)]
    six = struct.pack("<H", 25 << 11 | 8 << 5 | 11)
    assert colors(bmp(16, 16 * six, masks=struct.pack("<3I", 0xF800, 0x7E0, 0x1F))) == 4 * [(205, 32, 90)]


def test_bitmaps_with_other_masks_than_pillow_knows() -> None:
    rgbx = struct.pack("<3I", 0xFF, 0xFF00, 0xFF0000)
    assert colors(bmp(32, 16 * (bytes(COLOR) + b"\0"), masks=rgbx)) == 4 * [COLOR]
    assert colors(bmp(32, 16 * (PIXEL + b"\x80"), masks=BGRA, compression=6)) == 4 * [HALF]
    assert colors(bmp(32, 16 * (PIXEL + b"\0"), masks=BGRA, compression=6)) == 4 * [COLOR]
    ten = struct.pack("<I", 200 << 22 | 30 << 12 | 90 << 2)
    masks = struct.pack("<3I", 0x3FF00000, 0xFFC00, 0x3FF)
    assert colors(bmp(32, 16 * ten, masks=masks)) == 4 * [(199, 30, 90)]
    four = struct.pack("<4I", 0xF00, 0xF0, 0xF, 0xF000)
    rows = struct.pack("<4H", 0xFC25, 0x0C25, 0xFFFF, 0xF000) + 24 * b"\0"
    assert colors(bmp(16, rows, header=56, masks=four, height=-4)) == [(204, 34, 85), WHITE, WHITE, BLACK]
    assert colors(bmp(16, rows, header=56, masks=four), row=3) == [(204, 34, 85), WHITE, WHITE, BLACK]
    assert colors(bmp(16, 16 * b"\x25\x0c", header=56, masks=four)) == 4 * [(204, 34, 85)]
    for broken in (
        bmp(16, rows[:-2], header=56, masks=four),
        bmp(32, rows, masks=rgbx),
        bmp(32, rows, masks=rgbx, height=1 << 30),
    ):
        with pytest.raises(BadImage, match=r"^broken: Unsupported BMP bitfields layout"):
            decoded(broken)


def test_a_bitmap_from_the_top_down() -> None:
    rows = 4 * PIXEL + 12 * bytes(BLUE[::-1])
    assert colors(bmp(24, rows, height=-4)) == 4 * [COLOR]
    assert colors(bmp(24, rows), row=3) == 4 * [COLOR]


def table(*entries: tuple[int, ...]) -> bytes:
    return b"".join(bytes((*entry[::-1], 0)) for entry in entries)


ROWS = {1: b"\x90\0\0\0", 4: b"\x10\x01\0\0", 8: b"\1\0\0\1"}
"""The second, the first, the first and the second colour of the palette."""


@pytest.mark.parametrize("bits", ROWS)
@pytest.mark.parametrize(
    "first_two", [(COLOR, BLUE), (BLACK, WHITE), (WHITE, BLACK), (BLACK, (1, 1, 1)), (WHITE, WHITE), (BLACK, BLACK)]
)
def test_bitmaps_with_palettes_of_colours_and_of_greys(bits: int, first_two: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    first, second = first_two
    others = {count: [(level, level, level) for level in range(2, count)] for count in (2, 16, 256) if count <= 2**bits}
    for more in others.values():
        assert colors(bmp(bits, 4 * ROWS[bits], palette=table(first, second, *more))) == [second, first, first, second], len(more)
    with pytest.raises(BadImage):
        decoded(bmp(bits, 4 * ROWS[bits], palette=table(first, second))[:-4])


def test_run_lengths_and_the_header_of_os2() -> None:
    palette = table(COLOR, BLUE)
    assert colors(bmp(8, b"\4\1\0\0" * 4 + b"\0\1", palette=palette, compression=1)) == 4 * [BLUE]
    assert colors(bmp(4, b"\4\x01\0\0" * 4 + b"\0\1", palette=palette, compression=2)) == [COLOR, BLUE, COLOR, BLUE]
    assert colors(bmp(8, b"\4\1\0\0" * 4 + b"\0\1", palette=table(BLACK, WHITE), compression=1)) == 4 * [WHITE]
    old = b"BM" + struct.pack("<IHHI", 0, 0, 0, 26) + struct.pack("<I4H", 12, 4, 4, 1, 24)
    assert colors(old + 16 * PIXEL) == 4 * [COLOR]
    old = b"BM" + struct.pack("<IHHI", 0, 0, 0, 32) + struct.pack("<I4H", 12, 4, 4, 1, 1)
    assert colors(old + PIXEL + bytes(BLUE[::-1]) + 4 * ROWS[1]) == [BLUE, COLOR, COLOR, BLUE]
    assert colors(old + bytes(3) + bytes(WHITE) + 4 * ROWS[1]) == [WHITE, BLACK, BLACK, WHITE]
