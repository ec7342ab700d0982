"""The bubble meter's arithmetic, and what it says of two real ranks."""

from typing import Any
from xml.etree import ElementTree

import pytest
from helpers.nets import settings_of

from alexnet.pipeline.timing import Span
from benchmarks import bubbles, pipeline


def order(rank: int, ranks: int, microbatches: int, schedule: str) -> list[Span]:
    """What a rank with one stage does in a batch: forward takes one second, backward two. Begin and end are left open."""
    ahead = microbatches if schedule == "GPipe" else min(ranks - rank, microbatches)
    tasks = [("forward", index) for index in range(ahead)]
    for index in range(microbatches):
        tasks.append(("backward", index))
        if ahead + index < microbatches:
            tasks.append(("forward", ahead + index))
    return [Span(what, rank, microbatch, 0.0, 0.0) for what, microbatch in tasks]


@pytest.mark.parametrize("schedule", ["GPipe", "1F1B"])
@pytest.mark.parametrize(("ranks", "microbatches"), [(2, 4), (2, 8), (3, 6)])
def test_walking_a_schedule_of_equal_stages_gives_the_formulas_bubble(schedule: str, ranks: int, microbatches: int) -> None:
    orders = [order(rank, ranks, microbatches, schedule) for rank in range(ranks)]
    durations = {span[:3]: {"forward": 1.0, "backward": 2.0}[span.what] for spans in orders for span in spans}
    run = bubbles.Run(("conv3",) * (ranks - 1), schedule, 8, microbatches, [[spans] for spans in orders])
    period = bubbles.walk(orders, durations, ranks)
    assert 1 - 3 * microbatches / period == pytest.approx(run.formula())


def test_an_order_that_waits_for_itself_is_told() -> None:
    stuck = [[Span("backward", 0, 0, 0.0, 1.0), Span("forward", 0, 0, 1.0, 2.0)], [Span("forward", 1, 0, 0.0, 1.0)]]
    with pytest.raises(ValueError, match="waits for itself"):
        bubbles.walk(stuck, {span[:3]: 1.0 for spans in stuck for span in spans}, stages=2)


def test_idle_is_what_a_rank_does_not_compute() -> None:
    batches = [[Span("forward", 0, 0, t, t + 1), Span("backward", 0, 0, t + 3, t + 4)] for t in (0.0, 5.0, 10.0)]
    others = [[Span("forward", 1, 0, t + 1, t + 2), Span("backward", 1, 0, t + 2, t + 3)] for t in (0.0, 5.0, 10.0)]
    run = bubbles.Run(("conv3",), "1F1B", 8, 1, [batches, others])
    assert run.seconds() == 5
    assert run.busy() == [2, 2]
    assert run.idle() == pytest.approx([0.6, 0.6])
    assert run.predicted() == pytest.approx([0.5, 0.5])  # four seconds: the fifth was something else
    assert run.formula() == 0.5


def test_two_real_ranks_are_metered_and_drawn(pair: Any) -> None:
    settings = {"pipeline.ranks": 2, "pipeline.cuts": ["conv3"], "pipeline.schedule": "InterleavedZeroBubble"}
    params = settings_of("cifar10-32", batch_size=8, precision="float32", **settings, **{"pipeline.microbatches": 2})
    run = pipeline.run(pair, params)
    first, last = ([(span.what, span.microbatch) for span in rank[0]] for rank in run.batches)
    done = [(what, at) for what in ("forward", "backward", "weights") for at in (0, 1)] + [("weights", -1), ("update", -1)]
    assert sorted(first) == sorted(last) == sorted(done)
    assert first[:2] == [("forward", 0), ("forward", 1)] and last[:2] == [("forward", 0), ("backward", 0)]
    assert all(span.begin <= span.end for rank in run.batches for batch in rank for span in batch)
    assert all(busy > 0 for busy in run.busy())
    assert bubbles.table([run]).splitlines()[2].startswith("| conv3 | InterleavedZeroBubble |")
    words = "".join(ElementTree.fromstring(bubbles.drawing([run])).itertext())
    assert "rank 0" in words and "rank 1" in words and "backward" in words
