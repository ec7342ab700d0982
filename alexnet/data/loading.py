"""Batches: which images each holds, and threads that make them ready while the net computes."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import simplejpeg
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

from alexnet.data.augment import Normalization, Views, apply, apply_together
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

    def start(first: int) -> Callable[[], Batch]:
        chosen = order[first : first + batch_size]
        count = len(chosen)
        labels = np.full(batch_size, -100)
        labels[:count] = all_labels[chosen]
        target = torch.from_numpy(labels).to(device)
        if views is None:
            return lambda: Batch(None, target, count)
        seen = views.of(chosen)
        # Crops have a quarter of the bytes of what is made of them: to a device they travel as they are.
        on_cpu = device.type == "cpu"
        shape = (batch_size, side, side, 3)
        # numpy asks the kernel for huge pages, torch for memory that a GPU can read by itself.
        batch = (
            torch.from_numpy(np.empty(shape, np.float32)) if on_cpu else torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        )
        made = batch.numpy()

        def fill(rows: slice) -> None:
            crops = _crops(shards, chosen[rows], seen.of(rows), normalization, side)
            if on_cpu:
                apply(map(torch.from_numpy, crops), seen.of(rows), normalization, out=torch.from_numpy(made[rows]))
            else:
                for row, crop in zip(made[rows], crops, strict=True):
                    row[:] = crop

        def finish(parts: list[Future[None]]) -> Tensor:
            for part in parts:
                part.result()
            made[count:] = 0
            if on_cpu:
                return batch.permute(0, 3, 1, 2)
            images = apply_together(batch[:count].to(device, non_blocking=True), seen, normalization)
            return F.pad(images, (0, 0, 0, 0, 0, 0, 0, batch_size - count)) if count < batch_size else images

        if not workers:
            fill(slice(count))
            return lambda: Batch(finish([]), target, count)
        shares = [slice(count * share // workers, count * (share + 1) // workers) for share in range(workers)]
        parts = [pool.submit(fill, share) for share in shares]
        ready = finisher.submit(finish, parts)
        return lambda: Batch(ready.result(), target, count)

    with ThreadPoolExecutor(max(1, workers), "decode", _keep_to_itself) as pool, ThreadPoolExecutor(1, "batch") as finisher:
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


def _keep_to_itself() -> None:
    """Let torch's operations in this thread start no threads of their own, for which there are no cores."""
    torch.get_num_threads()  # Asked first in a thread, torch sets it to the number of all.
    threadpool_limits(1, user_api="openmp")


def _crops(
    shards: Shards, images: NDArray[np.int64], views: Views, normalization: Normalization, side: int
) -> Iterator[NDArray[np.uint8]]:
    # One after the other in the same memory.
    size, padding = normalization.mean.shape[0], normalization.padding
    square = np.empty((size, size, 3), np.uint8)
    padded = np.zeros((size + 2 * padding, size + 2 * padding, 3), np.uint8) if padding else square
    for image, top, left in zip(images.tolist(), views.top.tolist(), views.left.tolist(), strict=True):
        simplejpeg.decode_jpeg(shards.jpeg(image), fastdct=False, fastupsample=False, buffer=square)
        if padding:
            padded[padding:-padding, padding:-padding] = square
        yield padded[top : top + side, left : left + side]
