"""The pipeline of two ranks beside one process, and the bubble meter: how long each rank waits, and why."""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch

from alexnet.config.training import Training
from alexnet.files.whole import write_text
from alexnet.pipeline.distributed import Ranks
from alexnet.pipeline.timing import Span, Timer
from alexnet.train.optimizers import build_optimizer
from alexnet.train.session import build_engine
from benchmarks import bubbles, steps
from benchmarks.measure import Comparison, apart, parser, take_turns, tell
from benchmarks.paper import paper
from benchmarks.precisions import precisions
from benchmarks.ranks import RankProcesses

RANKS = 2
CUTS_AND_SCHEDULES = (
    (("conv3",), "InterleavedZeroBubble"),
    (("conv3",), "1F1B"),
    (("conv3",), "GPipe"),
    (("conv3", "fc6", "fc7"), "Interleaved1F1B"),
    (("conv3", "fc6", "fc7"), "InterleavedZeroBubble"),
    (("fc6",), "InterleavedZeroBubble"),
    (("fc7",), "InterleavedZeroBubble"),
    (("fc8",), "InterleavedZeroBubble"),
)
"""What the meter is held to: the first as params.yaml is shipped, and what other cuts and schedules would cost."""
DRAWN = 3
BATCHES = 3
STEPS = 4
"""Of a figure: the pipeline fills up in the first, and then one batch's end overlaps the next one's beginning."""


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print both tables."""
    options = parser(__doc__ or "", rounds=3)
    options.add_argument("--batch", type=int, default=128, help="images a batch (default: %(default)s)")
    options.add_argument("--microbatches", type=int, default=4, help="of a batch (default: %(default)s)")
    options.add_argument("--precision", choices=precisions(), default=precisions()[0], help="(default: %(default)s)")
    options.add_argument("--runs", type=int, default=len(CUTS_AND_SCHEDULES), help="cuts and schedules metered (default: all)")
    options.add_argument("--page", type=Path, metavar="FOLDER", help="write pipeline.md and pipeline.svg there")
    chosen = options.parse_args(arguments)
    if torch.cuda.device_count() == 1:
        print("one GPU runs all stages in one process, so there is no pipeline to measure", file=sys.stderr)
        tell([], chosen)
        return
    settings = partial(settings_of, chosen.batch, chosen.microbatches, chosen.precision)
    with RankProcesses(RANKS, threads=1) as processes:
        builders = {
            f"{threads} threads": partial(steps.ours, chosen.precision, chosen.microbatches, chosen.batch, threads)
            for threads in (2, 1)
        }
        with apart(builders) as alone:
            processes(prepare, settings(*CUTS_AND_SCHEDULES[0]))
            contenders = {"pipeline": lambda: min(map(float, processes(one_figure))), **alone}
            figures = take_turns(contenders, chosen.rounds, warm_up=True)
        metered = [run(processes, settings(*which)) for which in CUTS_AND_SCHEDULES[: chosen.runs]]
    row = f"pipeline of {RANKS} ranks with one thread each, {{}}, {chosen.microbatches} microbatches"
    what = row.format(chosen.precision)
    rows = [
        Comparison(what, "images/s", figures["pipeline"], "one process of two threads", figures["2 threads"], 1.0),
        Comparison(what, "images/s", figures["pipeline"], "one process of one thread", figures["1 threads"], 1.8),
    ]
    tell(rows, chosen, [] if "bfloat16" in precisions() else [row.format("bfloat16")])
    print("\n" + bubbles.table(metered))
    if chosen.page:
        write_text(chosen.page / "pipeline.md", bubbles.table(metered) + "\n")
        write_text(chosen.page / "pipeline.svg", bubbles.drawing(metered[:DRAWN]))


def settings_of(batch: int, microbatches: int, precision: str, cuts: tuple[str, ...], schedule: str) -> dict[str, Any]:
    """The settings of a pipeline of the paper's net."""
    pipeline = {"ranks": RANKS, "cuts": list(cuts), "schedule": schedule, "microbatches": microbatches}
    return paper(batch_size=batch, precision=precision, threads=1, **{f"pipeline__{key}": pipeline[key] for key in pipeline})


def run(processes: RankProcesses, params: dict[str, Any]) -> bubbles.Run:
    """Train some batches and say what each rank did when."""
    pipeline = params["pipeline"]
    spans: list[list[list[Span]]] = processes(meter, params)
    return bubbles.Run(tuple(pipeline["cuts"]), pipeline["schedule"], params["batch_size"], pipeline["microbatches"], spans)


# What follows is done on the ranks.

_figure = None


def prepare(ranks: Ranks, params: dict[str, Any]) -> None:
    """Make this rank's part of a training on a batch in memory."""
    global _figure
    settings = Training.read(params)
    engine = build_engine(steps.net_of(settings), settings, ranks)
    _figure = steps.repeated(engine, settings, ranks, steps.CLASSES, max(STEPS, steps.at_once()))


def one_figure(ranks: Ranks) -> float:
    """Images a second of it, once more."""
    assert _figure is not None
    return _figure()


def meter(ranks: Ranks, params: dict[str, Any]) -> list[list[Span]]:
    """What this rank did in each of ``BATCHES`` batches, after one that warms it up, on a clock that all ranks share."""
    settings = Training.read(params)
    engine = build_engine(steps.net_of(settings), settings, ranks)
    optimizer = build_optimizer(engine.parameters(), settings)
    batch = steps.batch_in_memory(settings, steps.CLASSES, ranks.device)
    found, zero = [], common_time(engine.timer, ranks)
    for _ in range(1 + BATCHES):
        ranks.from_last(engine.forward_backward(batch).read())
        engine.update(optimizer)
        found.append([span._replace(begin=span.begin - zero, end=span.end - zero) for span in engine.timer.take()])
    ranks.wait_for_sends()
    return found[1:]


def common_time(timer: Timer, ranks: Ranks) -> float:
    """The time on this rank's timer at a moment that all ranks have in common; on a GPU each counts from its own beginning."""
    ranks.gather(0)
    with timer.span("update"):
        pass
    return timer.take()[-1].end


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
