"""A net cut into stages, the stages spread over ranks, and the schedule that runs them.

Two ranks, one cut, four microbatches, under InterleavedZeroBubble (f: forward, b: backward for the stage's inputs, w: for its
weights, g: weight gradients that are computed once per batch, u: the optimiser's update):

    rank 0   f0 f1 .. b0 w0 f2 b1 w1 f3 b2 w2 b3 w3 u  f0 f1 ..
    rank 1   .. f0 b0 f1 b1 w0 f2 b2 w1 f3 b3 w2 w3 g  u  f0 b0 ..

The second rank's last w, g and u fill the time in which it would wait for the first. Whatever the cut and the schedule, each
microbatch passes the same layers and each weight sums its gradients in the order of the microbatches, so the numbers are
bitwise those of ``SingleProcess`` (single_process.py).
"""

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.pipelining.schedules import PipelineScheduleMulti, get_schedule_class

from alexnet.config.training import Training
from alexnet.input.loader import IGNORE, Batch
from alexnet.models.network import Network
from alexnet.models.numerics import PRECISIONS, autocast
from alexnet.pipeline.boundary import Stage, boundary_tensors
from alexnet.pipeline.deferred import ends_of_backward
from alexnet.pipeline.deferred_layers import defer
from alexnet.pipeline.distributed import Ranks
from alexnet.pipeline.engine import Engine, PendingStats, loss_share, sums_of
from alexnet.pipeline.timing import TimedStage, Timer


def split(net: Network, cuts: tuple[str, ...]) -> list[Network]:
    """The stages of ``net``, cut before each layer named in ``cuts``.

    A Flatten layer right before a cut goes into the stage after it: some schedules fail if a stage ends in a view.
    """
    layers = list(net.named_children())
    starts = [0]
    for cut in cuts:
        start = [name for name, _ in layers].index(cut)
        starts.append(start - 1 if isinstance(layers[start - 1][1], nn.Flatten) else start)
    return [cast(Network, net[start:end]) for start, end in zip(starts, [*starts[1:], len(layers)], strict=True)]


class Pipeline(Engine):
    """The engine of this rank's stages and the schedule that runs them together with the other ranks'.

    Stage i is on rank i modulo the number of ranks, in each replica.
    """

    def __init__(self, net: Network, settings: Training, ranks: Ranks) -> None:
        pipe = settings.pipeline
        self.device, self.precision, self.replica = ranks.device, PRECISIONS[settings.precision], ranks.replica
        self.timer = Timer(ranks.device)
        self.shapes = {name: parameter.shape for name, parameter in net.named_parameters()}
        ends = ends_of_backward(net.weighted, settings.freeze)
        slices = split(net, pipe.cuts)
        count = len(slices)
        self.owners = {name: index % ranks.stages for index, part in enumerate(slices) for name, _ in part.named_parameters()}
        self.own = ranks.share(settings.batch_size)
        rows = (self.own.stop - self.own.start) // pipe.microbatches
        boundaries = boundary_tensors(slices, rows, settings.crop_size, self.precision)
        own = range(ranks.place, count, ranks.stages)
        self.takes_images, self.last = own[0] == 0, own[-1] == count - 1
        self.stages = nn.ModuleDict({str(i): Stage(slices[i], i == 0, i == count - 1, ranks) for i in own})
        self.deferred = {i: defer(cast(Stage, self.stages[str(i)]).layers, settings.freeze, ends) for i in own}
        stages = []
        for i in own:
            stage = TimedStage(
                self.stages[str(i)],
                i,
                count,
                ranks.boundary,
                input_args=boundaries[i],
                output_args=boundaries[i + 1],
                group=ranks.replica.pipeline if ranks.replica else None,
                dw_builder=self.deferred[i].take_microbatch,
            )
            stage.timer = self.timer
            stages.append(stage)
        kind: Any = get_schedule_class(pipe.schedule)
        stage_or_stages = stages if issubclass(kind, PipelineScheduleMulti) else stages[0]
        # The loss is a share of the batch's mean already, so gradients are not divided by the number of microbatches.
        self.schedule = kind(stage_or_stages, pipe.microbatches, loss_fn=self._loss, scale_grads=False)

    def parameters(self) -> dict[str, nn.Parameter]:
        return {name: value for stage in self.stages.values() for name, value in cast(Stage, stage).layers.named_parameters()}

    def forward_backward(self, batch: Batch) -> PendingStats:
        self.stages.train()
        return self._run(self.schedule.step, batch)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> PendingStats:
        self.stages.eval()
        return self._run(self.schedule.eval, batch)

    def full_state_dict(self) -> dict[str, Tensor]:
        here, whole = self.parameters(), {}
        for name, shape in self.shapes.items():
            whole[name] = here[name].detach().cpu().contiguous() if name in here else torch.empty(shape)
            dist.broadcast(whole[name], src=self.owners[name])
        return whole

    def _run(self, schedule: Callable[..., Any], batch: Batch) -> PendingStats:
        self._count = (batch.labels != IGNORE).sum()
        labels, rows = batch.labels[self.own], batch.rows[self.own]
        inputs = (batch.images,) if self.takes_images else ()
        with autocast(self.device, self.precision):
            logits = schedule(*inputs, target=labels if self.last else None, rows=rows)
        return PendingStats(sums_of(logits, labels) if self.last else None)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return loss_share(logits, labels, self._count)
