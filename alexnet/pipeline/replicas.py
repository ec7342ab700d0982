"""Replicas: pipelines side by side, each with its share of every batch, whose gradients are added up in one order.

Two replicas of two ranks, numbered along the rows of a mesh (replica x stage):

    replica 0   rank 0   rank 1      the first half of the rows of every batch
    replica 1   rank 2   rank 3      the second half

Ranks of a row send each other boundary tensors. Ranks of a column hold the same layers: g0, their gradients in replica 0, and
g1 become g0 + g1, with four replicas ((g0 + g1) + g2) + g3, element by element in float32. An all-reduce adds in an order of its
own, so each rank gets a part of the elements from all, adds these in the order of the replicas, and sends all the sums.
``SingleProcess`` (single_process.py) without other ranks runs one share after the other and adds in the same order.
"""

from collections.abc import Iterable
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh


class Replica:
    """The replica that this process belongs to, one of several."""

    def __init__(self, count: int, device: torch.device, timeout: timedelta) -> None:
        """``count``: of replicas, over which the ranks of the process group are spread evenly; all of them call this.

        ``device`` is where the tensors lie that are sent. ``timeout``: how long a rank waits for another.
        """
        places = torch.arange(dist.get_world_size()).view(count, -1)
        column, _ = dist.new_subgroups_by_enumeration(places.T.tolist(), timeout=timeout)
        row, _ = dist.new_subgroups_by_enumeration(places.tolist(), timeout=timeout)
        mesh = DeviceMesh.from_group([column, row], device.type, mesh=places, mesh_dim_names=("replica", "stage"))  # type: ignore[list-item]
        self.device, self.count, self.index = device, count, mesh.get_local_rank("replica")
        self.pipeline, self._peers = mesh.get_group("stage"), mesh.get_group("replica")

    def share(self, rows: int) -> slice:
        """Its part of the ``rows`` of a batch, a multiple of the replicas."""
        size = rows // self.count
        return slice(self.index * size, (self.index + 1) * size)

    @torch.no_grad()
    def add_up(self, gradients: Iterable[Tensor]) -> None:
        """Replace each by the sum over the replicas. Its peers in the other replicas call this with theirs."""
        for gradient in gradients:
            size = gradient.numel()
            part = -(-size // self.count)
            own = torch.zeros(self.count * part, dtype=gradient.dtype, device=self.device)
            own[:size].copy_(gradient.reshape(-1))
            theirs = torch.empty_like(own)
            dist.all_to_all_single(theirs, own, group=self._peers)
            total, *others = theirs.view(self.count, part)
            for other in others:
                total += other
            dist.all_gather(list(own.view(self.count, part)), total, group=self._peers)
            gradient.copy_(own[:size].view(gradient.shape))
