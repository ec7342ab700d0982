"""The views of an image that a test averages over."""

from collections.abc import Iterator

from torch import Tensor


def views(images: Tensor, side: int, flip: bool) -> Iterator[Tensor]:
    """The centre and the four corners, then their mirror images if ``flip`` (paper, section 4.1).

    (N, 3, size, size) in, five or ten times (N, 3, side, side) out; the centre crop is the first.
    """
    margin = images.shape[-1] - side
    places = [(margin // 2, margin // 2), (0, 0), (0, margin), (margin, 0), (margin, margin)]
    for mirrored in (images, images.flip(-1)) if flip else (images,):
        for top, left in places:
            yield mirrored[:, :, top : top + side, left : left + side]
