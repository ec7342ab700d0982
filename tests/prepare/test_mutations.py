"""Whatever becomes of a valid image file, reading it gives pixels or a reason, in a bounded time and in bounded memory."""

import io
import struct
import time
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_images

from alexnet.prepare.pixels import BadImage, canonical

SIDE = 48
LONGEST = 20.0
"""Seconds that a small file may take on a busy machine."""


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@cache
def valid() -> dict[str, bytes]:
    """A file of each kind that is read."""
    photo = Image.fromarray(load_sample_images().images[0][100:140, 200:252])
    large = Image.fromarray(load_sample_images().images[0][100:220, 200:330])
    deep = Image.fromarray(np.arange(1600, dtype=np.uint16).reshape(40, 40) * 40)
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "JPEG": encoded(photo, "JPEG", exif=exif),
        "progressive JPEG": encoded(large, "JPEG", progressive=True),
        "CMYK JPEG": encoded(photo.convert("CMYK"), "JPEG"),
        "PNG": encoded(photo, "PNG", exif=exif),
        "PNG with a palette": encoded(photo.convert("P"), "PNG", transparency=0),
        "PNG of 16 bits": encoded(deep, "PNG"),
        "WebP": encoded(photo, "WEBP", exif=exif),
        "lossless WebP": encoded(photo.convert("RGBA"), "WEBP", lossless=True, exif=exif),
        "BMP": encoded(photo, "BMP"),
        "BMP with a palette": encoded(photo.convert("L"), "BMP"),
        "black and white BMP": encoded(photo.convert("1"), "BMP"),
        "BMP with masks": encoded(photo.convert("RGBA"), "BMP"),
    }


def survives(payload: bytes) -> None:
    start = time.monotonic()
    try:
        assert canonical(payload, SIDE).shape == (SIDE, SIDE, 3)
    except BadImage as bad:
        assert 0 < len(str(bad)) < 200
    except MemoryError:
        pass  # a reject too; see SquareSpec
    assert time.monotonic() - start < LONGEST


Mutation = Callable[[bytes], bytes]
EXTREMES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\x80\0\0\0")


def mutations(size: int) -> st.SearchStrategy[list[tuple[str, int, bytes]]]:
    """Some changes: where, and to what. Half of them are in the headers, which are at the beginning."""
    places = st.one_of(st.integers(0, min(100, size - 1)), st.integers(0, size - 1))
    content = st.one_of(st.binary(min_size=1, max_size=12), st.sampled_from(EXTREMES))
    return st.lists(
        st.tuples(st.sampled_from(["set", "cut", "remove", "insert", "repeat"]), places, content), min_size=1, max_size=6
    )


def mutated(payload: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    for kind, at, content in changes:
        after = at + len(content)
        payload = {
            "set": payload[:at] + content + payload[after:],
            "cut": payload[:at],
            "remove": payload[:at] + payload[after:],
            "insert": payload[:at] + content + payload[at:],
            "repeat": payload[:after] + payload[at:],
        }[kind]
    return payload


@pytest.mark.parametrize("kind", valid())
@given(data=st.data())
def test_a_changed_file_gives_pixels_or_a_reason(kind: str, data: st.DataObject) -> None:
    payload = valid()[kind]
    survives(mutated(payload, data.draw(mutations(len(payload)))))


@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\1\0\0WEBP", b"BM", b"GIF89a"])
)
def test_rubbish_gives_a_reason(content: bytes, start: bytes) -> None:
    survives(start + content)


FOUND = {
    "a WebP that ends in its first header": b"RIFF\x8c\x00\x00\x00WEBPVP8X\n\x04\n\x00",
    "a WebP that ends after the length": b"RIFF\x12\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00",
}
"""Files that once ended a stage."""


@pytest.mark.parametrize("case", FOUND)
def test_what_was_found_stays_mended(case: str) -> None:
    with pytest.raises(BadImage):
        canonical(FOUND[case], SIDE)


def vast_jpeg() -> bytes:
    payload = bytearray(valid()["JPEG"])
    at = payload.index(b"\xff\xc0") + 5
    payload[at : at + 4] = struct.pack(">HH", 65_500, 65_500)
    return bytes(payload)


def vast_webp() -> bytes:
    frame = b"\x2f" + struct.pack("<I", 16_382 | 16_382 << 14) + bytes(20)
    chunk = b"VP8L" + struct.pack("<I", len(frame)) + frame + bytes(len(frame) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def vast_bmp(bits: int = 24, compression: int = 0, palette: bytes = b"", side: int = 60_000) -> bytes:
    fields = 40, side, side, 1, bits, compression, 0, 0, 0, len(palette) // 4, 0
    header = struct.pack("<IiiHHIIiiII", *fields)
    return b"BM" + struct.pack("<IHHI", 10**6, 0, 0, 14 + len(header) + len(palette)) + header + palette + bytes(100)


MANY = "more than 178,956,970 pixels"
BOMBS = {
    "JPEG": (vast_jpeg, MANY),
    "WebP": (vast_webp, MANY),
    "BMP": (vast_bmp, MANY),
    "BMP with run lengths": (lambda: vast_bmp(8, 1, bytes(1024)), MANY),
    "BMP of one bit": (lambda: vast_bmp(1, 0, bytes(8)), MANY),
    "BMP with masks": (lambda: vast_bmp(32, 3), MANY),
    "BMP that is nearly too large": (lambda: vast_bmp(side=13_000), "truncated"),
    "GIF": (lambda: b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + bytes(100), "not a JPEG, PNG, WebP or BMP image"),
}
"""A few hundred bytes that announce a picture of hundreds of megabytes; a PNG is in test_sharding.py."""


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_by_its_header(kind: str) -> None:
    make, reason = BOMBS[kind]
    start = time.process_time()
    with pytest.raises(BadImage, match=reason):
        canonical(make(), SIDE)
    assert time.process_time() - start < 2
