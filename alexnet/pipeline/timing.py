"""When a rank computes, and so how long it waits: for the other ranks, for data."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch
from torch.distributed.pipelining import PipelineStage

Item = TypeVar("Item")
Noted = tuple[str, int, int, Any, Any]


class Span(NamedTuple):
    """What a rank did for a time, in seconds of the system's clock; on a GPU since the timer began."""

    what: str
    """``forward``, ``backward``, ``weights`` (their deferred gradients), ``step`` (the three together, as a GPU by itself has
    them), ``update`` or ``data`` (waiting for it)."""
    stage: int
    microbatch: int
    """-1 for what is done once per batch."""
    begin: float
    end: float


@dataclass(frozen=True)
class StepTiming:
    """Where the time of a rank went, in seconds."""

    whole: float = 0.0
    computing: float = 0.0
    data: float = 0.0
    """Waiting for images."""

    def __add__(self, other: "StepTiming") -> "StepTiming":
        return StepTiming(self.whole + other.whole, self.computing + other.computing, self.data + other.data)

    @property
    def data_wait(self) -> float:
        """The share spent waiting for images."""
        return self.data / self.whole

    @property
    def idle(self) -> float:
        """The share spent neither computing nor waiting for images: mostly waiting for other ranks."""
        return 1 - (self.computing + self.data) / self.whole if self.whole else 0.0


class Timer:
    """Records what a rank does when; on a GPU by events on its stream, without waiting."""

    def __init__(self, device: torch.device) -> None:
        self._gpu = device.type == "cuda"
        self._noted: list[Noted] = []
        self._paused = False
        # Events tell the time between two of them as a float32: over hours that would be too coarse, so zero moves along.
        self._zero: Any = self._now() if self._gpu else None
        self._passed = 0.0
        self._begun = time.perf_counter()

    @contextmanager
    def span(self, what: str, stage: int = -1, microbatch: int = -1) -> Iterator[None]:
        """Record what is done inside."""
        if self._paused:
            yield
            return
        begin = self._now()
        yield
        self._noted.append((what, stage, microbatch, begin, self._now()))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Record nothing of what is done inside."""
        self._paused = True
        yield
        self._paused = False

    def take(self) -> list[Span]:
        """What was recorded since the last call. Waits for the GPU to have done it."""
        noted, self._noted = self._noted, []
        return self._spans(noted)

    def _spans(self, noted: list[Noted]) -> list[Span]:
        if self._gpu and noted:
            noted[-1][-1].synchronize()
        spans = [
            Span(what, stage, microbatch, self._since(begin), self._since(end)) for what, stage, microbatch, begin, end in noted
        ]
        if self._gpu and noted:
            self._passed, self._zero = spans[-1].end, noted[-1][-1]
        return spans

    def waiting(self, batches: Iterator[Item]) -> Iterator[Item]:
        """The items of ``batches``; the time spent waiting for each is recorded."""
        while True:
            with self.span("data"):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def lap(self) -> Callable[[], StepTiming]:
        """A function that says where the time since the last call went, once the GPU has done it; call them in order."""
        noted, self._noted = self._noted, []
        begun, self._begun = self._begun, time.perf_counter()
        whole = self._begun - begun

        def timing() -> StepTiming:
            spans = self._spans(noted)
            data = sum(span.end - span.begin for span in spans if span.what == "data")
            return StepTiming(whole, sum(span.end - span.begin for span in spans) - data, data)

        return timing

    def _now(self) -> Any:
        if not self._gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def _since(self, mark: Any) -> float:
        return float(self._passed + self._zero.elapsed_time(mark) / 1000 if self._gpu else mark)


class TimedStage(PipelineStage):
    """torch's stage, whose computations ``timer`` records; what the schedule does between them is sending and waiting."""

    timer: Timer

    def forward_one_chunk(self, fwd_chunk_id: int, *args: Any, **kwargs: Any) -> Any:
        with self.timer.span("forward", self.stage_index, fwd_chunk_id):
            return super().forward_one_chunk(fwd_chunk_id, *args, **kwargs)

    def backward_one_chunk(self, bwd_chunk_id: int, *args: Any, **kwargs: Any) -> None:
        with self.timer.span("backward", self.stage_index, bwd_chunk_id):
            super().backward_one_chunk(bwd_chunk_id, *args, **kwargs)

    def backward_weight_one_chunk(self, bwd_chunk_id: int, *args: Any, **kwargs: Any) -> None:
        with self.timer.span("weights", self.stage_index, bwd_chunk_id):
            super().backward_weight_one_chunk(bwd_chunk_id, *args, **kwargs)
