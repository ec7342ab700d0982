"""The decoded squares of a split on a GPU: kept there if they fit, so that each is decoded once and not in every epoch."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet.input.augment import sent
from alexnet.input.shards import Shards

SHARE = 0.25
"""Of the GPU's free memory, that the squares of a split may take."""

Parts = Callable[[], None]
"""Waits until all parts of a work are done."""
Start = Callable[[Callable[[int, int], None], int], Parts]
"""Starts a work, which gets a range, on all numbers up to one."""


class Squares:
    """The squares of a split, uint8 (padded, padded, 3) each, their padding 0."""

    def __init__(self, shards: Shards, padded: int, device: torch.device) -> None:
        """``padded``: the side with the padding, in pixels."""
        self.shards, self.padded, self.device = shards, padded, device
        self._keep = len(shards) * padded**2 * 3 <= SHARE * torch.cuda.mem_get_info(device)[0]
        self._kept: Tensor | None = None
        self._place = np.full(len(shards), -1)
        """Of each image among those that are kept, -1 if it is not."""
        self._count = 0

    def of(self, chosen: NDArray[np.int64], start: Start) -> Callable[[], tuple[Tensor, Tensor]]:
        """Start to decode those that are needed. The function that it returns waits for them; call these in order.

        It gives squares (M, padded, padded, 3) and the place of each chosen one among them, int64 (N,).
        """
        new, first = chosen, 0
        if self._keep:
            new, first = chosen[self._place[chosen] < 0], self._count
            self._count += len(new)
            self._place[new] = np.arange(first, self._count)
        places = self._place[chosen] if self._keep else np.arange(len(new))
        size = self.shards.meta.size
        memory = torch.empty((len(new), size, size, 3), dtype=torch.uint8, pin_memory=True)

        def decode(begin: int, end: int) -> None:
            for image, square in zip(new[begin:end].tolist(), memory[begin:end].numpy(), strict=True):
                self.shards.decode(image, square)

        wait = start(decode, len(new))

        def squares() -> tuple[Tensor, Tensor]:
            wait()
            found = self._memory(len(new))
            margin = (self.padded - size) // 2
            inside = slice(margin, margin + size)
            found[first : first + len(new), inside, inside].copy_(memory, non_blocking=True)
            return found, sent(places, self.device)

        return squares

    def forget(self) -> None:
        """Decode all anew: those of an epoch that was not ended may not have arrived."""
        self._place[:], self._count = -1, 0

    def _memory(self, new: int) -> Tensor:
        """For all squares of the split, or for ``new`` ones."""
        if self._kept is not None:
            return self._kept
        count = len(self.shards) if self._keep else new
        memory = torch.zeros((count, self.padded, self.padded, 3), dtype=torch.uint8, device=self.device)
        if self._keep:
            self._kept = memory
        return memory
