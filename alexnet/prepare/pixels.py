"""The canonical square: any image file as RGB pixels, its shorter side at 256, the central 256x256 (the paper, section 2)."""

import io
import warnings

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFile, UnidentifiedImageError

from alexnet.prepare.bitfields import bitfields
from alexnet.prepare.metadata import without_metadata
from alexnet.prepare.resampling import reduced

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
ENOUGH = 1.5
"""A large JPEG is decoded at a half, a quarter or an eighth if at least this many times the square's side is left to filter."""

UNKNOWN = "not a JPEG, PNG, WebP or BMP image"
INDICES = {1: "P;1", 4: "P;4", 8: "P"}
"""Pillow's names of the ways in which a BMP packs the numbers of its palette's colours, by bits a pixel."""

# EXIF's orientation tag, and the transposition that turns the stored pixels upright.
ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class BadImage(Exception):
    """An image that cannot be read; the message is the reason in a few words."""


def canonical(payload: bytes, size: int, pixels: str = "encoded") -> NDArray[np.uint8]:
    """The canonical square of an image, RGB uint8 (size, size, 3); small images are enlarged.

    ``pixels`` as in the manifest. Raises ``BadImage``.
    """
    if pixels == "planar-rgb-32":
        if len(payload) != 3 * 32 * 32:
            raise BadImage("truncated")
        return square(Image.fromarray(np.frombuffer(payload, np.uint8).reshape(3, 32, 32).transpose(1, 2, 0)), size)
    photograph = _photograph(payload, size)
    return square(decode(payload), size) if photograph is None else photograph


def square(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Scale the shorter side to ``size`` and crop the central square, in one bicubic step: uint8 (size, size, channels)."""
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)))


def _photograph(payload: bytes, size: int) -> NDArray[np.uint8] | None:
    # The square of a JPEG that gets smaller, the fast way. None for anything else, and for a JPEG with any flaw, which Pillow
    # repairs or explains.
    if not payload.startswith(b"\xff\xd8\xff"):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            file = Image.open(io.BytesIO(payload), formats=["JPEG"])
            width, height = file.size
            side = min(width, height)
            if file.format != "JPEG" or file.mode not in ("L", "RGB") or side <= size or _orientation(file) in UPRIGHT:
                return None
            part = next((part for part in (8, 4, 2) if side >= part * ENOUGH * size), 1)
            # Only these factors are fast. Sides are rounded up.
            image = simplejpeg.decode_jpeg(payload, min_height=-(-height // part), min_width=-(-width // part))
        except MemoryError:
            raise
        except Exception:
            return None
    return reduced(image, (width - side) / 2 / part, (height - side) / 2 / part, side / part, size)


def decode(payload: bytes) -> Image.Image:
    """Decode an image file to RGB.

    JPEG, PNG, WebP and BMP; grey, 16-bit (its high byte), CMYK, palette; upright by EXIF, transparent parts on white.
    Raises ``BadImage``, never because of metadata.
    """
    if not payload:
        raise BadImage("empty file")
    try:
        return _read(payload)
    except BadImage as bad:
        if masked := bitfields(payload):
            return _as_rgb(masked)
        # Metadata must not cost a good picture.
        rest = without_metadata(payload)
        if rest is None or rest == payload:
            raise
        try:
            return _read(rest)
        except BadImage as still:
            raise (bad if str(still) == UNKNOWN else still) from None


def _read(payload: bytes) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # Pillow refuses more than 2 * MAX_IMAGE_PIXELS here, from the header alone.
            file = Image.open(io.BytesIO(payload), formats=FORMATS)
            if file.format == "BMP" and (grey := _greys(file, payload)):
                return grey
            # Before the EXIF block is read: that reads a PNG to its end, and would hide an error in its pixels.
            file.load()
            if file.format == "PNG":
                _scale_transparency(file, payload[24])
            orientation = _orientation(file)
            image = _as_rgb(file)
            return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image
        except UnidentifiedImageError:
            raise BadImage(UNKNOWN) from None
        except Image.DecompressionBombError:
            raise BadImage(f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels") from None
        except MemoryError:
            raise
        # Pillow's readers raise errors of any kind for a broken file.
        except Exception as error:
            reason = " ".join(str(error).split())[:100] or type(error).__name__
            raise BadImage("truncated" if "truncated" in reason.lower() else f"broken: {reason}") from None


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    # A broken EXIF block must not cost a good picture.
    except Exception:
        return 1


def _greys(file: ImageFile.ImageFile, payload: bytes) -> Image.Image | None:
    # A BMP whose palette is a ramp of greys, or black and white, at another depth than Pillow then takes it to have.
    decoder, _, offset, arguments = file.tile[0]
    at = 24 if payload[14] == 12 else 28
    bits = int.from_bytes(payload[at : at + 2], "little")
    if decoder != "raw" or not isinstance(arguments, tuple) or bits not in INDICES:
        return None
    if arguments[0] not in ("1", "L") or (arguments[0], bits) in (("1", 1), ("L", 8)):
        return None
    image = Image.frombytes("P", file.size, payload[offset:], "raw", (INDICES[bits], *arguments[1:]))
    image.putpalette([level for grey in ((0, 255) if arguments[0] == "1" else range(256)) for level in 3 * [grey]])
    return image.convert("RGB")


def _scale_transparency(file: Image.Image, depth: int) -> None:
    # A PNG names its transparent colour in samples as it stores them; Pillow compares it with samples of 8 bits.
    color = file.info.get("transparency")
    if file.mode == "L" and isinstance(color, int):
        file.info["transparency"] = color * 255 // (2**depth - 1)
    elif file.mode == "RGB" and isinstance(color, tuple) and depth == 16:
        file.info["transparency"] = tuple(sample >> 8 for sample in color)


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # 16-bit grey, which convert() would clip at 255.
        deep = np.asarray(image)
        grey = (deep >> 8).astype(np.uint8)
        grey[deep == image.info.get("transparency", -1)] = 255
        return Image.fromarray(grey).convert("RGB")
    if image.format == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        # Nobody filled in the alpha channel; viewers ignore it then.
        return image.convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        # Pillow reads every CMYK JPEG as Adobe's, which are stored inverted.
        image = ImageChops.invert(image)
    return image.convert("RGB")
