"""A net cut into stages, the stages spread over ranks, and the schedule that runs them.

Two ranks, one cut, four microbatches, under InterleavedZeroBubble (f: forward, b: backward for the stage's inputs, w: for its
weights, g: for those that are formed once a batch, u: the optimiser's update):

    rank 0   f0 f1 .. b0 w0 f2 b1 w1 f3 b2 w2 b3 w3 u  f0 f1 ..
    rank 1   .. f0 b0 f1 b1 w0 f2 b2 w1 f3 b3 w2 w3 g  u  f0 b0 ..

The second rank's last w, g and u fall into the time in which it would wait for the first. Whatever the cut and the schedule,
each microbatch passes the same layers and each weight sums its gradients in the order of the microbatches, so the numbers are
bitwise those of ``OneProcess``.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.pipelining.schedules import PipelineScheduleMulti, PipelineScheduleSingle, get_schedule_class

from alexnet.model.network import Network
from alexnet.model.weighted import WeightGradients
from alexnet.parallel.meter import Meter, MeteredStage
from alexnet.parallel.runtime import Runtime
from alexnet.parallel.wires import Stage, wires_of

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
        self.gradients = WeightGradients(self.net)
        self.meter = Meter(device)

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """The parameters that live in this process, by their names in the whole net."""
        return list(self.net.named_parameters())

    def step(self, images: Tensor | None, labels: Tensor, rows: Tensor) -> tuple[Tensor, Tensor] | None:
        """Forward and backward over one batch, of the mean loss; ``form_gradients`` must follow.

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
            for index, (image, label, row) in enumerate(zip(*parts, strict=True)):
                with self.meter.span("forward", 0, index):
                    logits = self.net(image, row)
                    loss = loss_function(logits, label)
                with self.meter.span("backward", 0, index):
                    loss.backward()  # type: ignore[no-untyped-call]
                    self.gradients.microbatch()()
                outputs.append(logits.detach())
        return _summed_loss(torch.cat(outputs).float(), labels)

    def form_gradients(self) -> None:
        """Form what ``step`` left of the weights' gradients. Nobody waits for it but this process's own optimiser."""
        with self.meter.span("weights", 0):
            self.gradients.form()

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
        self.meter = Meter(runtime.device)
        self.shapes = {name: parameter.shape for name, parameter in net.named_parameters()}
        pieces = split(net, cuts)
        self.owners = {name: index % runtime.ranks for index, piece in enumerate(pieces) for name, _ in piece.named_parameters()}
        wires = wires_of(pieces, batch[0] // microbatches, batch[1], precision)
        own = range(runtime.rank, len(pieces), runtime.ranks)
        self.first, self.last = own[0] == 0, own[-1] == len(pieces) - 1
        self.stages = nn.ModuleDict({str(i): Stage(pieces[i], i == 0, i == len(pieces) - 1).to(self.device) for i in own})
        self.gradients = [WeightGradients(stage) for stage in self.stages.values()]
        stages = [
            MeteredStage(
                self.stages[str(i)],
                i,
                len(pieces),
                self.device,
                input_args=wires[i],
                output_args=wires[i + 1],
                dw_builder=gradients.microbatch,
            )
            for i, gradients in zip(own, self.gradients, strict=True)
        ]
        for stage in stages:
            stage.meter = self.meter
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

    def form_gradients(self) -> None:
        for stage, gradients in zip(self.stages, self.gradients, strict=True):
            with self.meter.span("weights", int(stage)):
                gradients.form()

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
