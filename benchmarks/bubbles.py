"""The bubble meter: how long ranks wait in a pipeline, how long the schedule alone would make them wait, and a drawing."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean

from alexnet.pipeline.timing import Span
from alexnet.report.canvas import WIDTH, canvas, style, svg
from alexnet.report.theme import BLUE, INK, MUTED, ORANGE, standalone

BATCHES_WALKED = 6
COLOURS = {"forward": BLUE, "backward": ORANGE, "weights": "#8c6bb1", "update": MUTED}
Task = tuple[str, int, int]
"""What, stage, microbatch."""


@dataclass(frozen=True)
class Run:
    """What the ranks of a pipeline did in some batches."""

    cuts: tuple[str, ...]
    schedule: str
    batch: int
    microbatches: int
    batches: list[list[list[Span]]]
    """Of each rank, of each batch, in the order of time."""

    @property
    def stages(self) -> int:
        """All stages, over all ranks."""
        return len(self.cuts) + 1

    def seconds(self) -> float:
        """Of a batch: the mean time from one batch's last work to the next one's, on the first rank."""
        ends = [spans[-1].end for spans in self.batches[0]]
        return mean(end - begin for begin, end in pairwise(ends))

    def busy(self) -> list[float]:
        """Seconds of a batch in which each rank computes; the mean over batches."""
        return [mean(sum(span.end - span.begin for span in spans) for spans in rank) for rank in self.batches]

    def idle(self) -> list[float]:
        """The measured share of waiting, of each rank."""
        return [1 - busy / self.seconds() for busy in self.busy()]

    def predicted(self) -> list[float]:
        """The share of waiting that the order of work alone brings: see ``walk``."""
        period = walk([rank[0] for rank in self.batches], self.durations(), self.stages)
        return [1 - busy / period for busy in self.busy()]

    def durations(self) -> dict[Task, float]:
        """Seconds of each task, the mean over microbatches and batches, so that every microbatch takes the same."""
        found: dict[tuple[str, int, bool], list[float]] = {}
        spans = [span for rank in self.batches for batch in rank for span in batch]
        for span in spans:
            found.setdefault((span.what, span.stage, span.microbatch < 0), []).append(span.end - span.begin)
        return {span[:3]: mean(found[span.what, span.stage, span.microbatch < 0]) for span in spans}

    def formula(self) -> float:
        """(p - 1) / (v m + p - 1): the bubble of p ranks with v stages each of equal length, and m microbatches."""
        ranks = len(self.batches)
        return (ranks - 1) / (self.stages // ranks * self.microbatches + ranks - 1)


def walk(orders: Sequence[Sequence[Span]], durations: dict[Task, float], stages: int) -> float:
    """Seconds of a batch, where each rank does its tasks in the order that it did them and waits for nothing but its inputs.

    A forward pass needs that of the stage before, a backward pass that of the stage behind. Sending takes no time.
    """
    done: dict[tuple[int, Task], float] = {}
    clocks = [0.0] * len(orders)
    finished = []
    for batch in range(BATCHES_WALKED):
        left = [list(order) for order in orders]
        while any(left):
            moved = False
            for rank, tasks in enumerate(left):
                while tasks and (needed := _needs(tasks[0], stages)) in (None, *(task for at, task in done if at == batch)):
                    ready = done[batch, needed] if needed else 0.0
                    task = tasks.pop(0)[:3]
                    clocks[rank] = max(clocks[rank], ready) + durations[task]
                    done[batch, task] = clocks[rank]
                    moved = True
            if not moved:
                raise ValueError("the order of the tasks waits for itself")
        finished.append(max(clocks))
    return finished[-1] - finished[-2]


def _needs(span: Span, stages: int) -> Task | None:
    if span.what == "forward" and span.stage > 0:
        return ("forward", span.stage - 1, span.microbatch)
    if span.what == "backward" and span.stage < stages - 1:
        return ("backward", span.stage + 1, span.microbatch)
    return None


def table(runs: Sequence[Run]) -> str:
    """A row a run, in Markdown."""
    head = ("Cut before", "Schedule", "Images/s", "Computing, s a batch", "Idle", "Idle by the schedule alone", "(p−1)/(vm+p−1)")
    rows = [head, tuple("---" for _ in head)]
    for run in runs:
        several = run.schedule != "InterleavedZeroBubble"
        rows.append(
            (
                ", ".join(run.cuts),
                run.schedule,
                f"{run.batch / run.seconds():.1f}",
                " · ".join(f"{busy:.2f}" for busy in run.busy()),
                " · ".join(f"{max(0, idle):.0%}" for idle in run.idle()),
                " · ".join(f"{max(0, idle):.0%}" for idle in run.predicted()),
                f"{run.formula():.0%}" if several else "",
            )
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def drawing(runs: Sequence[Run]) -> str:
    """The last batch but one of each run, a row a rank; what is empty is waiting. An SVG file's text."""
    rows = sum(len(run.batches) + 1 for run in runs)
    with style():
        figure, axes = canvas(2 * WIDTH, 34 * rows + 60)
        at, names, longest = 0.0, [], 0.0
        for run in runs:
            axes.text(0, at - 0.72, f"{run.schedule}, cut before {', '.join(run.cuts)}", color=INK, fontsize=10)
            begin = min(rank[-2][0].begin for rank in run.batches)
            end = max(rank[-2][-1].end for rank in run.batches)
            for rank, batches in enumerate(run.batches):
                spans = [span for batch in batches for span in batch if span.end > begin and span.begin < end]
                for span in spans:
                    left, right = max(span.begin, begin) - begin, min(span.end, end) - begin
                    axes.barh(at, right - left, left=left, height=0.8, color=COLOURS[span.what], edgecolor="white", linewidth=0.6)
                    if span.microbatch >= 0 and right - left > 0.02 * (end - begin):
                        axes.text(
                            (left + right) / 2, at, str(span.microbatch), color="white", ha="center", va="center", fontsize=8
                        )
                names.append((at, f"rank {rank}"))
                at += 1
            longest = max(longest, end - begin)
            at += 1
        axes.set_yticks([place for place, _ in names], [name for _, name in names])
        axes.set_ylim(at - 0.9, -1.4)
        axes.set_xlim(0, longest)
        axes.set_xlabel("seconds")
        axes.grid(visible=False)
        for index, (what, colour) in enumerate(COLOURS.items()):
            axes.text(0.25 * index, 1.0, f"■ {what}", color=colour, transform=axes.transAxes, fontsize=10)
        return standalone(svg(figure))
