"""A net cut into stages, the stages spread over ranks, and the schedule that runs them.

Two ranks, one cut, four microbatches, under 1F1B (f and b: forward and backward of a microbatch):

    rank 0   f0 f1 .. b0 f2 b1 f3 b2 .. b3
    rank 1   .. f0 b0 f1 b1 .. f2 b2 f3 b3

Whatever the cut and the schedule, each microbatch passes the same layers and each weight sums its gradients in the order
of the microbatches, so the numbers are bitwise those of ``OneProcess``.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage
from torch.distributed.pipelining.schedules import PipelineScheduleMulti, PipelineScheduleSingle, get_schedule_class

from alexnet.model.network import Network, dry_run
from alexnet.parallel.runtime import Runtime

IGNORE = -100
"""The label of a row that only fills a batch up."""


def split(net: Network, cuts: tuple[str, ...]) -> list[Network]:
    """The stages of ``net``, cut before each layer named in ``cuts``.

    A flattening right before a cut goes into the stage behind it, as no stage may end in a view of its own tensor.
    """
    layers = list(net.named_children())
    starts = [0]
    for cut in cuts:
        start = [name for name, _ in layers].index(cut)
        starts.append(start - 1 if isinstance(layers[start - 1][1], nn.Flatten) else start)
    return [cast(Network, net[start:end]) for start, end in zip(starts, [*starts[1:], len(layers)], strict=True)]


class OneProcess:
    """The whole net in one process: what a pipeline must equal, and how one GPU or ``pipeline.ranks: 1`` trains."""

    first = last = True

    def __init__(self, net: Network, microbatches: int, precision: torch.dtype, device: torch.device) -> None:
        self.net = net.to(device).to(memory_format=torch.channels_last)
        self.microbatches, self.precision, self.device = microbatches, precision, device

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """The parameters that live in this process, by their names in the whole net."""
        return list(self.net.named_parameters())

    def step(self, images: Tensor | None, labels: Tensor, rows: Tensor) -> tuple[Tensor, Tensor] | None:
        """Forward and backward over one batch; gradients of the mean loss add up in the parameters.

        ``images``: (N, 3, size, size) where the first stage is, else None. ``labels``: (N,), ``IGNORE`` in rows that only
        fill up. ``rows``: (N,), see ``Network``. Gives the loss, summed over the real rows, and the logits (N, classes) in
        float32, where the last stage is; None elsewhere.
        """
        assert images is not None
        self.net.train()
        loss_function = _mean_loss(labels)
        outputs = []
        with _autocast(self.device, self.precision):
            parts = (tensor.chunk(self.microbatches) for tensor in (images, labels, rows))
            for image, label, row in zip(*parts, strict=True):
                logits = self.net(image, row)
                loss_function(logits, label).backward()  # type: ignore[no-untyped-call]
                outputs.append(logits.detach())
        return _summed_loss(torch.cat(outputs).float(), labels)

    @torch.no_grad()
    def test(self, images: Tensor | None, labels: Tensor) -> tuple[Tensor, Tensor] | None:
        """Forward over one batch in test mode; takes and gives what ``step`` does."""
        assert images is not None
        self.net.eval()
        with _autocast(self.device, self.precision):
            logits = torch.cat([self.net(image) for image in images.chunk(self.microbatches)])
        return _summed_loss(logits.float(), labels)

    def weights(self) -> dict[str, Tensor]:
        """All parameters of the whole net on the CPU, in every process."""
        return {name: parameter.detach().cpu().contiguous() for name, parameter in self.named_parameters()}


class Pipeline:
    """The stages of this rank, and the schedule that runs them together with the other ranks'.

    The stages are dealt to the ranks in turn. Methods as ``OneProcess``; every rank calls each of them with the same labels.
    """

    def __init__(
        self,
        net: Network,
        cuts: tuple[str, ...],
        schedule: str,
        batch: tuple[int, int],
        microbatches: int,
        precision: torch.dtype,
        runtime: Runtime,
    ) -> None:
        """``batch``: images a batch, and the side of an image in pixels."""
        self.runtime, self.device, self.precision = runtime, runtime.device, precision
        self.shapes = {name: parameter.shape for name, parameter in net.named_parameters()}
        pieces = split(net, cuts)
        self.owners = {name: index % runtime.ranks for index, piece in enumerate(pieces) for name, _ in piece.named_parameters()}
        wires = _wires(pieces, batch[0] // microbatches, batch[1], precision)
        own = range(runtime.rank, len(pieces), runtime.ranks)
        self.first, self.last = own[0] == 0, own[-1] == len(pieces) - 1
        self.stages = nn.ModuleDict({str(i): Stage(pieces[i], i == 0, i == len(pieces) - 1).to(self.device) for i in own})
        stages = [
            PipelineStage(self.stages[str(i)], i, len(pieces), self.device, input_args=wires[i], output_args=wires[i + 1])
            for i in own
        ]
        kind = get_schedule_class(schedule)
        self.schedule: PipelineScheduleSingle | PipelineScheduleMulti = (
            kind(stages, microbatches, loss_fn=self._loss, scale_grads=False)
            if issubclass(kind, PipelineScheduleMulti)
            else kind(stages[0], microbatches, loss_fn=self._loss, scale_grads=False)
        )

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        return [pair for stage in self.stages.values() for pair in stage.layers.named_parameters()]  # type: ignore[union-attr]

    def step(self, images: Tensor | None, labels: Tensor, rows: Tensor) -> tuple[Tensor, Tensor] | None:
        self.stages.train()
        self._mean_loss = _mean_loss(labels)
        inputs = (images,) if self.first else ()
        with _autocast(self.device, self.precision):
            logits = self.schedule.step(*inputs, target=labels if self.last else None, rows=rows)
        return _summed_loss(logits.detach().float(), labels) if self.last else None

    @torch.no_grad()
    def test(self, images: Tensor | None, labels: Tensor) -> tuple[Tensor, Tensor] | None:
        self.stages.eval()
        self._mean_loss = _mean_loss(labels)
        inputs = (images,) if self.first else ()
        with _autocast(self.device, self.precision):
            logits = self.schedule.eval(*inputs, target=labels if self.last else None)
        return _summed_loss(logits.float(), labels) if self.last else None

    def weights(self) -> dict[str, Tensor]:
        here = dict(self.named_parameters())
        whole = {}
        for name, shape in self.shapes.items():
            tensor = here[name].detach().contiguous() if name in here else torch.empty(shape, device=self.device)
            dist.broadcast(tensor, src=self.owners[name])
            whole[name] = tensor.cpu()
        return whole

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return self._mean_loss(logits, labels)


class Stage(nn.Module):
    """A slice of the net between two wires.

    Inside, maps lie channels last, which convolutions like best; on a wire, tensors and gradients must be contiguous. What
    crosses is a copy, never a view, as zero-bubble schedules detach it in place.
    """

    def __init__(self, layers: Network, first: bool, last: bool) -> None:
        super().__init__()
        self.layers, self.first, self.last = layers.to(memory_format=torch.channels_last), first, last

    def forward(self, input: Tensor, rows: Tensor | None = None) -> Tensor:
        output: Tensor = self.layers(input if self.first else _FromWire.apply(input), rows)
        return output if self.last else cast(Tensor, _ToWire.apply(output))


class _FromWire(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor):  # type: ignore[no-untyped-def]
        return tensor.clone(memory_format=_inside(tensor))

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        return gradient.contiguous()


class _ToWire(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor):  # type: ignore[no-untyped-def]
        return tensor.clone(memory_format=torch.contiguous_format)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        return gradient.contiguous(memory_format=_inside(gradient))


def _inside(tensor: Tensor) -> torch.memory_format:
    return torch.channels_last if tensor.dim() == 4 else torch.contiguous_format


def _wires(pieces: list[Network], rows: int, size: int, precision: torch.dtype) -> list[Tensor]:
    """What crosses into, between and out of the stages, as empty tensors of a microbatch's shape."""
    images = torch.empty(rows, 3, size, size, device="meta").to(memory_format=torch.channels_last)
    wires = [images]
    for piece in pieces:
        wires.append(dry_run(piece, wires[-1]))
    return [images, *(wire.to(precision).contiguous() for wire in wires[1:])]


def _mean_loss(labels: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of a microbatch as its share of the batch's mean over real rows, so that shares add up to the mean."""
    count = (labels != IGNORE).sum()

    def loss(logits: Tensor, part: Tensor) -> Tensor:
        return F.cross_entropy(logits.float(), part, ignore_index=IGNORE, reduction="sum") / count

    return loss


def _summed_loss(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum"), logits


def _autocast(device: torch.device, precision: torch.dtype) -> AbstractContextManager[object]:
    return torch.autocast(device.type, dtype=precision, enabled=precision != torch.float32)
