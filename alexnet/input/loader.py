"""Batches: which images each holds, and threads that prepare them while the net computes."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController
from torch import Tensor

from alexnet.input.augment import Normalization, Views, apply, apply_together, sent
from alexnet.input.shards import Shards
from alexnet.input.squares import Parts, Squares

AHEAD = 3
"""Batches in preparation."""
IGNORE = -100
"""The label of a row that is padding."""
OPENMP = ThreadpoolController().select(user_api="openmp")
"""Torch's. Looked for here, as a search beside an import in another thread could deadlock: each has what the other waits for."""


@dataclass(frozen=True)
class Batch:
    """A batch of fixed size; the rows after the first ``count`` are padding."""

    images: Tensor | None
    """float32 (M, 3, side, side) of the loader's share of the N rows; None in a process that needs no images."""
    labels: Tensor
    """(N,) int64, ``IGNORE`` in rows that are padding."""
    rows: Tensor
    """(N,) int64: a number for each row, by which dropout draws; see ``Network``."""
    count: int
    """Real images."""
    made: torch.cuda.Event | None = None
    """When a GPU has made the tensors, on a stream of the loader's."""


class Transform(NamedTuple):
    """How squares become inputs."""

    normalization: Normalization
    """On the device that the images go to."""
    side: int
    """Of a crop, in pixels."""

    @property
    def padded(self) -> int:
        """The side of a square with its padding, in pixels."""
        return self.normalization.mean.shape[0] + 2 * self.normalization.padding


def thread_count(workers: int | None, processes: int) -> int:
    """``workers``, or if it is None this process's share of the cores, at most 16."""
    return workers if workers is not None else min(16, max(1, len(os.sched_getaffinity(0)) // processes))


class BatchLoader:
    """The images of a split in batches of one size, the last one padded. No number depends on the threads."""

    def __init__(
        self,
        shards: Shards,
        transform: Transform | None,
        batch_size: int,
        device: torch.device,
        threads: int,
        share: slice | None = None,
    ) -> None:
        """``transform`` is None in a process that needs no images. ``threads`` decode.

        ``share``: the rows of each batch whose images are wanted; None for all.
        """
        self.shards, self.transform, self.batch_size = shards, transform, batch_size
        self.share = share or slice(0, batch_size)
        self._images = self.share.stop - self.share.start
        self.device, self.threads, self.labels = device, threads, shards.labels
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._squares = Squares(shards, transform.padded, device) if self._stream and transform else None

    def epoch(self, order: NDArray[np.int64], views: Views, first_row: int = 0) -> Iterator[Batch]:
        """The images of ``order`` in batches.

        ``views``: how each image of the split is seen. ``first_row``: the number of the first row, padding counted.
        """
        with (
            ThreadPoolExecutor(self.threads, "decode", _run_single_threaded) as decoders,
            ThreadPoolExecutor(1, "batch", _run_single_threaded) as assembler,
        ):
            pending: deque[Future[Batch]] = deque()
            whole = False
            try:
                for first in range(0, len(order), self.batch_size):
                    chosen = order[first : first + self.batch_size]
                    own = chosen[self.share]
                    images = self._decode(own, views.of(own), self.transform, decoders) if self.transform else None
                    pending.append(assembler.submit(self._assemble, chosen, images, first_row + first))
                    if len(pending) == AHEAD:
                        yield self._received(pending.popleft().result())
                while pending:
                    yield self._received(pending.popleft().result())
                whole = True
            finally:
                if self._squares and not whole:
                    self._squares.forget()
                decoders.shutdown(cancel_futures=True)
                assembler.shutdown(cancel_futures=True)

    def _decode(
        self, chosen: NDArray[np.int64], views: Views, transform: Transform, decoders: ThreadPoolExecutor
    ) -> Callable[[], Tensor]:
        """Start to decode the images. The function that it returns waits for them."""
        if self._squares:
            squares = self._squares.of(chosen, partial(_in_parts, decoders, self.threads))
            return partial(self._on_gpu, squares, views, transform)
        # numpy asks the kernel for huge pages.
        memory = torch.from_numpy(np.empty((self._images, transform.side, transform.side, 3), np.float32))

        def fill(start: int, end: int) -> None:
            part = views.of(slice(start, end))
            crops = _crops(self.shards, chosen[start:end], part, transform)
            apply(map(torch.from_numpy, crops), part, transform.normalization, out=memory[start:end])

        parts = _in_parts(decoders, self.threads, fill, len(chosen))
        return partial(self._on_cpu, memory, len(chosen), parts)

    def _assemble(self, chosen: NDArray[np.int64], images: Callable[[], Tensor] | None, first_row: int) -> Batch:
        count = len(chosen)
        labels = np.full(self.batch_size, IGNORE)
        labels[:count] = self.labels[chosen]
        rows = np.arange(first_row, first_row + self.batch_size)
        with torch.cuda.stream(self._stream):  # nothing without one
            batch = Batch(images() if images else None, sent(labels, self.device), sent(rows, self.device), count)
            return replace(batch, made=self._stream.record_event()) if self._stream else batch

    def _received(self, batch: Batch) -> Batch:
        """The batch, for the stream that asks for it."""
        if batch.made is not None:
            stream = torch.cuda.current_stream(self.device)
            stream.wait_event(batch.made)
            for tensor in (batch.images, batch.labels, batch.rows):
                if tensor is not None:
                    tensor.record_stream(stream)
        return batch

    def _on_cpu(self, memory: Tensor, count: int, parts: Parts) -> Tensor:
        parts()
        memory[count:] = 0
        return memory.permute(0, 3, 1, 2)

    def _on_gpu(self, squares: Callable[[], tuple[Tensor, Tensor]], views: Views, transform: Transform) -> Tensor:
        images = apply_together(*squares(), views, transform.normalization, transform.side)
        missing = self._images - len(images)
        return F.pad(images, (0, 0, 0, 0, 0, 0, 0, missing)) if missing else images


def _in_parts(decoders: ThreadPoolExecutor, threads: int, work: Callable[[int, int], None], count: int) -> Parts:
    """Start ``work`` on ranges that together are 0 to ``count``. The function that it returns waits for all."""
    bounds = [count * part // threads for part in range(threads + 1)]
    parts = [decoders.submit(work, start, end) for start, end in pairwise(bounds) if start < end]

    def wait() -> None:
        for part in parts:
            part.result()

    return wait


def _run_single_threaded() -> None:
    """Let torch's operations in this thread start no threads of their own, for which there are no cores."""
    torch.get_num_threads()  # Asked first in a thread, torch sets it to the number of all.
    OPENMP.limit(limits=1)


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
