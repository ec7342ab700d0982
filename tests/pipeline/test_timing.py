"""The timer tells computing from waiting."""

import time
from collections.abc import Iterator

import pytest
import torch

from alexnet.pipeline.timing import StepTiming, Timer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands still unless it is moved."""
    now = [10.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def test_a_lap_has_computing_waiting_for_data_and_the_rest(clock: list[float]) -> None:
    found = Timer(torch.device("cpu"))
    for what, seconds in (("data", 1.0), ("forward", 2.0), ("backward", 3.0), ("update", 0.5)):
        with found.span(what):
            clock[0] += seconds
    clock[0] += 3.5  # for the other rank
    timing = found.lap()()
    assert (timing.whole, timing.computing, timing.data) == (10.0, 5.5, 1.0)
    assert (timing.data_wait, timing.idle) == (0.1, 0.35)
    clock[0] += 1
    assert found.lap()() == StepTiming(1.0, 0.0, 0.0)  # each begins where the last one ended


def test_laps_add_up() -> None:
    whole = StepTiming() + StepTiming(4.0, 2.0, 1.0) + StepTiming(6.0, 2.0, 0.0)
    assert (whole.idle, whole.data_wait) == (0.5, 0.1)


def test_waiting_for_each_item_is_recorded_and_what_is_done_with_it_is_not(clock: list[float]) -> None:
    def slow() -> Iterator[int]:
        for item in range(3):
            clock[0] += 1 + item
            yield item
        clock[0] += 0.5  # until it is clear that there are no more

    found = Timer(torch.device("cpu"))
    for _ in found.waiting(slow()):
        clock[0] += 10
    spans = found.take()
    assert {span.what for span in spans} == {"data"}
    assert [span.end - span.begin for span in spans] == [1.0, 2.0, 3.0, 0.5]


def test_spans_say_what_was_done_when_and_are_taken_once(clock: list[float]) -> None:
    found = Timer(torch.device("cpu"))
    with found.span("forward", stage=1, microbatch=3):
        clock[0] += 2
    assert found.take() == [("forward", 1, 3, 10.0, 12.0)]
    assert found.take() == []


def test_the_clock_is_that_of_the_system_so_that_ranks_of_a_machine_can_be_compared() -> None:
    found = Timer(torch.device("cpu"))
    begin = time.perf_counter()
    with found.span("forward"):
        pass
    assert begin <= found.take()[0].begin <= time.perf_counter()
