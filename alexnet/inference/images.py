"""Image files in batches, decoded in threads while the net computes."""

import io
import os
import sys
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from alexnet.input.loader import thread_count
from alexnet.prepare.pixels import BadImage, canonical, decode

Image: TypeAlias = str | os.PathLike[str] | bytes | PIL.Image.Image | NDArray[np.uint8]
"""The path or the content of a file, a Pillow image, or RGB pixels, uint8 (height, width, 3)."""
BATCH = 64
AHEAD = 2
"""Batches that are decoded while the net computes another."""


class Preparation(NamedTuple):
    """How an image becomes the square that a model's crops are cut from."""

    size: int
    """Side of the square, in pixels."""
    torchvision: bool = False
    """Whether to resize the shorter side as torchvision does for its own weights, rather than as ``preprocess`` does."""

    def square(self, payload: bytes) -> NDArray[np.uint8]:
        """RGB, uint8 (size, size, 3), of the content of a file. Raises ``BadImage``."""
        if not self.torchvision:
            return canonical(payload, self.size)
        from torchvision.transforms.functional import center_crop, resize  # type: ignore[import-untyped]

        return np.asarray(center_crop(resize(decode(payload), self.size), self.size))


@dataclass(frozen=True)
class Batch:
    """Some images, in the order in which they were asked for."""

    images: Sequence[Any]
    squares: dict[Preparation, NDArray[np.uint8]]
    """Those of the images that could be read, (N, size, size, 3)."""
    bad: dict[int, str]
    """Which images could not be read, by their place in ``images``, and why."""

    def in_order(self, results: Iterable[Any]) -> Iterator[tuple[Any, Any, str | None]]:
        """Each image with its result, or with None and the reason. ``results``: of the images that could be read."""
        rest = iter(results)
        for place, image in enumerate(self.images):
            reason = self.bad.get(place)
            yield image, next(rest) if reason is None else None, reason


def read_batches(images: Sequence[Image], preparations: Collection[Preparation], title: str | None = None) -> Iterator[Batch]:
    """Read ``images`` on all cores, at most ``BATCH`` at a time. ``title``: of a progress bar on a terminal; None for none."""
    bar = tqdm(total=len(images), desc=title, unit=" images", disable=None if title else True, leave=False)
    # A product of matrices in this many threads needs none of its own.
    with bar, threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(thread_count(None, processes=1), "decode") as pool:
        pending: deque[tuple[Sequence[Image], list[Future[dict[Preparation, NDArray[np.uint8]] | str]]]] = deque()
        try:
            for first in range(0, len(images), BATCH):
                some = images[first : first + BATCH]
                pending.append((some, [pool.submit(_squares, image, preparations) for image in some]))
                if len(pending) > AHEAD:
                    yield _batch(*pending.popleft(), bar)
            while pending:
                yield _batch(*pending.popleft(), bar)
        finally:
            pool.shutdown(cancel_futures=True)


def _batch(images: Sequence[Image], futures: list[Future[dict[Preparation, NDArray[np.uint8]] | str]], bar: Any) -> Batch:
    found = [future.result() for future in futures]
    good = [squares for squares in found if not isinstance(squares, str)]
    bar.update(len(images))
    together = {preparation: np.stack([squares[preparation] for squares in good]) for preparation in good[0]} if good else {}
    return Batch(images, together, {place: reason for place, reason in enumerate(found) if isinstance(reason, str)})


def _squares(image: Image, preparations: Collection[Preparation]) -> dict[Preparation, NDArray[np.uint8]] | str:
    try:
        payload = _payload(image)
        return {preparation: preparation.square(payload) for preparation in preparations}
    except BadImage as bad:
        return str(bad)
    except OSError as error:
        return error.strerror or str(error)
    except MemoryError:
        return "not enough memory"


def _payload(image: Image) -> bytes:
    if isinstance(image, bytes):
        return image
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise BadImage(f"an array of {image.dtype} {image.shape}, not of uint8 (height, width, 3)")
        image = PIL.Image.fromarray(image)
    if not isinstance(image, PIL.Image.Image):
        return Path(image).read_bytes()
    # As a file: its colours, transparency and orientation are then treated as those of any other.
    file = io.BytesIO()
    plain = image if image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else image.convert("RGB")
    plain.save(file, "PNG", compress_level=0, exif=image.getexif())
    return file.getvalue()


def screen_is_free() -> bool:
    """Whether a progress bar on stderr would not mix with what is printed to stdout."""
    return not (sys.stdout is not None and sys.stdout.isatty())
