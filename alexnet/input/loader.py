"""Batches: which images each holds, and threads that prepare them while the net computes."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

from alexnet.input.augment import Normalization, Views, apply, apply_together
from alexnet.input.shards import Shards

AHEAD = 3
"""Batches in preparation."""
IGNORE = -100
"""The label of a row that is padding."""


@dataclass(frozen=True)
class Batch:
    """A batch of fixed size; the rows after the first ``count`` are padding."""

    images: Tensor | None
    """(N, 3, side, side) float32; None in a process that needs no images."""
    labels: Tensor
    """(N,) int64, ``IGNORE`` in rows that are padding."""
    rows: Tensor
    """(N,) int64: a number for each row, by which dropout draws; see ``Network``."""
    count: int
    """Real images."""


class Transform(NamedTuple):
    """How squares become inputs."""

    normalization: Normalization
    """On the device that the images go to."""
    side: int
    """Of a crop, in pixels."""


def thread_count(workers: int | None, processes: int) -> int:
    """``workers``, or if it is None this process's share of the cores, at most 16."""
    return workers if workers is not None else min(16, max(1, len(os.sched_getaffinity(0)) // processes))


class BatchLoader:
    """The images of a split in batches of one size, the last one padded. No number depends on the threads."""

    def __init__(self, shards: Shards, transform: Transform | None, batch_size: int, device: torch.device, threads: int) -> None:
        """``transform`` is None in a process that needs no images. ``threads`` decode."""
        self.shards, self.transform, self.batch_size = shards, transform, batch_size
        self.device, self.threads, self.labels = device, threads, shards.labels

    def epoch(self, order: NDArray[np.int64], views: Views, first_row: int = 0) -> Iterator[Batch]:
        """The images of ``order`` in batches.

        ``views``: how each image of the split is seen. ``first_row``: the number of the first row, padding counted.
        """
        with (
            ThreadPoolExecutor(self.threads, "decode", _run_single_threaded) as decoders,
            ThreadPoolExecutor(1, "batch") as assembler,
        ):
            pending: deque[Future[Batch]] = deque()
            try:
                for first in range(0, len(order), self.batch_size):
                    chosen = order[first : first + self.batch_size]
                    images = self._decode(chosen, views.of(chosen), self.transform, decoders) if self.transform else None
                    pending.append(assembler.submit(self._assemble, chosen, images, first_row + first))
                    if len(pending) == AHEAD:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                decoders.shutdown(cancel_futures=True)
                assembler.shutdown(cancel_futures=True)

    def _decode(
        self, chosen: NDArray[np.int64], views: Views, transform: Transform, decoders: ThreadPoolExecutor
    ) -> Callable[[], Tensor]:
        """Start to decode the images. The function that it returns waits for them."""
        shape, count = (self.batch_size, transform.side, transform.side, 3), len(chosen)
        # Inputs on the CPU, crops for a GPU: a quarter of the bytes travel there. numpy asks the kernel for huge pages, torch for
        # memory that a GPU can read by itself.
        memory = (
            torch.from_numpy(np.empty(shape, np.float32))
            if self.device.type == "cpu"
            else torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        )
        bounds = [count * part // self.threads for part in range(self.threads + 1)]
        parts = [
            decoders.submit(self._fill, memory[start:end], chosen[start:end], views.of(slice(start, end)), transform)
            for start, end in pairwise(bounds)
        ]
        return partial(self._images, memory, views, transform, parts)

    def _fill(self, memory: Tensor, chosen: NDArray[np.int64], views: Views, transform: Transform) -> None:
        crops = _crops(self.shards, chosen, views, transform)
        if self.device.type == "cpu":
            apply(map(torch.from_numpy, crops), views, transform.normalization, out=memory)
            return
        for row, crop in zip(memory.numpy(), crops, strict=True):
            row[:] = crop

    def _assemble(self, chosen: NDArray[np.int64], images: Callable[[], Tensor] | None, first_row: int) -> Batch:
        count = len(chosen)
        labels = np.full(self.batch_size, IGNORE)
        labels[:count] = self.labels[chosen]
        rows = torch.arange(first_row, first_row + self.batch_size)
        return Batch(images() if images else None, torch.from_numpy(labels).to(self.device), rows.to(self.device), count)

    def _images(self, memory: Tensor, views: Views, transform: Transform, parts: list[Future[None]]) -> Tensor:
        for part in parts:
            part.result()
        count = len(views.top)
        if self.device.type == "cpu":
            memory[count:] = 0
            return memory.permute(0, 3, 1, 2)
        crops = memory[:count].to(self.device, non_blocking=True)
        images = apply_together(crops, views, transform.normalization)
        return F.pad(images, (0, 0, 0, 0, 0, 0, 0, self.batch_size - count)) if count < self.batch_size else images


def _run_single_threaded() -> None:
    """Let torch's operations in this thread start no threads of their own, for which there are no cores."""
    torch.get_num_threads()  # Asked first in a thread, torch sets it to the number of all.
    threadpool_limits(1, user_api="openmp")


def _crops(shards: Shards, images: NDArray[np.int64], views: Views, transform: Transform) -> Iterator[NDArray[np.uint8]]:
    """The crops of ``images``, one after the other in the same memory."""
    size, padding, side = transform.normalization.mean.shape[0], transform.normalization.padding, transform.side
    square = np.empty((size, size, 3), np.uint8)
    padded = np.zeros((size + 2 * padding, size + 2 * padding, 3), np.uint8) if padding else square
    for image, top, left in zip(images.tolist(), views.top.tolist(), views.left.tolist(), strict=True):
        shards.decode(image, square)
        if padding:
            padded[padding:-padding, padding:-padding] = square
        yield padded[top : top + side, left : left + side]
