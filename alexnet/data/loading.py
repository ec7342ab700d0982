"""Batches: which images each holds, and threads that make them ready while the net computes."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet.data.augment import Normalization, Views, apply
from alexnet.data.shards import Shards

AHEAD = 3
"""Batches in the making."""


@dataclass(frozen=True)
class Batch:
    """A batch of fixed size; rows beyond ``count`` only fill it up, and their label is -100."""

    images: Tensor | None
    """(N, 3, side, side) float32; None in a process that needs labels alone."""
    labels: Tensor
    """(N,) int64."""
    count: int
    """Real images."""


def thread_count(workers: int | None, processes: int) -> int:
    """``workers``, or where it is None this process's share of the cores, at most 16."""
    return workers if workers is not None else min(16, max(1, len(os.sched_getaffinity(0)) // processes))


def batches(
    shards: Shards,
    order: NDArray[np.int64],
    views: Views | None,
    side: int,
    batch_size: int,
    normalization: Normalization,
    device: torch.device,
    workers: int,
) -> Iterator[Batch]:
    """The images of ``order`` in batches of ``batch_size``, the last one filled up.

    ``views``: how each image of the split is seen, or None where this process needs no images. ``side``: of a crop, in
    pixels. ``normalization``: on ``device``, where the images go. ``workers``: threads that
    decode; with 0 each batch is made when it is asked for. No number depends on them.
    """

    all_labels = shards.labels
    padding = 2 * [2 * [normalization.padding]] + [[0, 0]]

    def start(first: int) -> Callable[[], Batch]:
        chosen = order[first : first + batch_size]
        labels = np.full(batch_size, -100)
        labels[: len(chosen)] = all_labels[chosen]
        target = torch.from_numpy(labels).to(device)
        if views is None:
            return lambda: Batch(None, target, len(chosen))
        seen = views.of(chosen)
        crops = np.zeros((batch_size, side, side, 3), np.uint8)

        def fill(rows: range) -> None:
            for row in rows:
                square = simplejpeg.decode_jpeg(shards.jpeg(int(chosen[row])), fastdct=False, fastupsample=False)
                square = np.pad(square, padding) if normalization.padding else square
                top, left = seen.top[row], seen.left[row]
                crops[row] = square[top : top + side, left : left + side]

        def finish(parts: list[Future[None]]) -> Tensor:
            for part in parts:
                part.result()
            images = apply(torch.from_numpy(crops[: len(chosen)]).to(device), seen, normalization)
            if len(chosen) == batch_size:
                return images
            whole = torch.zeros(batch_size, side, side, 3, device=device).permute(0, 3, 1, 2)
            whole[: len(chosen)] = images
            return whole

        if not workers:
            fill(range(len(chosen)))
            return lambda: Batch(finish([]), target, len(chosen))
        parts = [pool.submit(fill, range(worker, len(chosen), workers)) for worker in range(workers)]
        images = finisher.submit(finish, parts)
        return lambda: Batch(images.result(), target, len(chosen))

    with ThreadPoolExecutor(max(1, workers), "decode") as pool, ThreadPoolExecutor(1, "batch") as finisher:
        waiting: deque[Callable[[], Batch]] = deque()
        try:
            for first in range(0, len(order), batch_size):
                waiting.append(start(first))
                if len(waiting) == (AHEAD if workers else 1):
                    yield waiting.popleft()()
            while waiting:
                yield waiting.popleft()()
        finally:
            pool.shutdown(cancel_futures=True)
            finisher.shutdown(cancel_futures=True)
