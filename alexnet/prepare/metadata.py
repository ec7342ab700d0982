"""Image files without the metadata that a reader stumbles over: text, colour profiles and the like, which decide no pixel."""

import io
import struct

from PIL.PngImagePlugin import PngStream

WEBP_PIXELS = (b"VP8X", b"ALPH", b"VP8 ", b"VP8L", b"ANIM", b"ANMF")
WEBP_PROFILE, WEBP_XMP = 0x20, 0x04
"""The flags in ``VP8X`` that announce them."""


def without_metadata(payload: bytes) -> bytes | None:
    """A JPEG, PNG or WebP with its pixels and its orientation, but without metadata that is too large or broken.

    What is wrong with the pixels stays as it is. None for another format, and for a file without pixels.
    """
    if payload.startswith(b"\xff\xd8\xff"):
        return _jpeg(payload)
    if payload.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(payload)
    if payload.startswith(b"RIFF") and payload[8:12] == b"WEBP":
        return _webp(payload)
    return None


def _png(payload: bytes) -> bytes | None:
    # Chunks in capitals are critical. Of the others those stay that Pillow reads without complaint; libpng does the same.
    stream = PngStream(io.BytesIO(payload))
    parts, at, pixels = [payload[:8]], 8, False
    while at + 8 <= len(payload):
        length, name = struct.unpack_from(">I4s", payload, at)
        if not name.isalpha():
            parts.append(payload[at:])
            break
        end = at + 12 + length
        if _readable(stream, at) or name.isupper():
            parts.append(payload[at:end])
        pixels |= name == b"IDAT"
        at = end
    return b"".join(parts) if pixels else None


def _readable(stream: PngStream, at: int) -> bool:
    # The stream counts the memory of all texts. The chunks of an animation are left out: without them, IDAT is the picture.
    try:
        assert stream.fp is not None
        stream.fp.seek(at)
        name, start, length = stream.read()
        if name in (b"acTL", b"fcTL", b"fdAT"):
            return False
        stream.crc(name, stream.call(name, start, length))
    except MemoryError:
        raise
    except Exception:
        return False
    return True


def _jpeg(payload: bytes) -> bytes:
    parts, at = [payload[:2]], 2
    while at + 4 <= len(payload) and payload[at] == 0xFF:
        marker, length = payload[at + 1], int.from_bytes(payload[at + 2 : at + 4], "big")
        if marker == 0xDA or length < 2:  # the pixels start here
            break
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE) or _decides(marker, length - 2):
            parts.append(payload[at : at + 2 + length])
        at += 2 + length
    return b"".join([*parts, payload[at:]])


def _decides(marker: int, length: int) -> bool:
    # JFIF and Adobe name the colours, if they are as long as libjpeg demands; EXIF and XMP have the orientation.
    return marker == 0xE1 or (marker == 0xE0 and length >= 14) or (marker == 0xEE and length >= 12)


def _webp(payload: bytes) -> bytes:
    parts, at = [], 12
    while at + 8 <= len(payload):
        name, length = struct.unpack_from("<4sI", payload, at)
        end = at + 8 + length + length % 2
        chunk = payload[at:end]
        if name == b"VP8X" and len(chunk) > 8:
            chunk = chunk[:8] + bytes([chunk[8] & ~(WEBP_PROFILE | WEBP_XMP)]) + chunk[9:]
        if name in WEBP_PIXELS or (name == b"EXIF" and end <= len(payload)):
            parts.append(chunk)
        at = end
    content = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(content)) + content
