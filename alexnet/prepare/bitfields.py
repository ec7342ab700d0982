"""BMPs whose header says by masks which bits of a pixel are red, green, blue and alpha, in ways that Pillow lacks."""

import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BITFIELDS, ALPHABITFIELDS = 3, 6


def bitfields(payload: bytes) -> Image.Image | None:
    """The picture, RGB or RGBA; None if it is another kind of file, cut off, or too large for Pillow."""
    if not payload.startswith(b"BM") or len(payload) < 70:
        return None
    offset, header, width, height, _, bits, kind = struct.unpack_from("<IIiiHHI", payload, 10)
    side = abs(height)
    if kind not in (BITFIELDS, ALPHABITFIELDS) or bits not in (16, 32) or header < 40 or width < 1 or side < 1:
        return None
    across = -(-width * bits // 32) * 32 // bits
    if width * side > 2 * (Image.MAX_IMAGE_PIXELS or width * side) or len(payload) < offset + across * side * bits // 8:
        return None
    rows = np.frombuffer(payload, f"<u{bits // 8}", across * side, offset).reshape(side, across)[:, :width]
    masks = struct.unpack_from("<4I", payload, 54)
    channels = [_levels(rows, mask) for mask in masks[: 4 if header >= 56 or kind == ALPHABITFIELDS else 3]]
    if len(channels) == 4 and not channels[3].any():  # without a mask, or not filled in
        channels.pop()
    pixels = np.stack(channels, 2)
    return Image.fromarray(np.ascontiguousarray(pixels[::-1] if height > 0 else pixels))


def _levels(rows: NDArray[np.unsignedinteger], mask: int) -> NDArray[np.uint8]:
    if not mask:
        return np.zeros(rows.shape, np.uint8)
    lowest = (mask & -mask).bit_length() - 1
    most = mask >> lowest
    return ((((rows.astype(np.uint64) & mask) >> lowest) * 255 + most // 2) // most).astype(np.uint8)
