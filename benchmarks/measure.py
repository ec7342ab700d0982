"""What all measurements share: contenders that take turns, ratios round by round, and a command line."""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

Contender = Callable[[], float]
"""Runs once and gives its figure, in the unit of the comparison."""


@dataclass(frozen=True)
class Comparison:
    """Ours beside a peer, measured in turns in the same run."""

    what: str
    unit: str
    ours: list[float]
    """One figure a round."""
    peer: str
    """Whom it is compared with."""
    theirs: list[float]
    """The peer's figure in the same round."""
    target: float
    """Of the ratio, ours to theirs."""
    at_most: bool = False
    """Whether the ratio should stay below the target, as of memory and time, and not above."""

    @property
    def ratios(self) -> list[float]:
        """Ours to theirs, one a round."""
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return median(self.ratios)

    @property
    def met(self) -> bool:
        """Whether the median ratio reaches the target."""
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target

    def cells(self) -> tuple[str, ...]:
        """The row of the table: see ``HEADER``."""
        bound = "≤" if self.at_most else "≥"
        low, high = min(self.ratios), max(self.ratios)
        return (
            self.what,
            f"{number(median(self.ours))} {self.unit}",
            f"{self.peer}: {number(median(self.theirs))}",
            f"**{_share(self.ratio)}** ({_share(low)}–{_share(high)})",
            f"{bound} {self.target:g}",
            "yes" if self.met else "no",
        )


@dataclass(frozen=True)
class Figures:
    """What a measurement leaves."""

    comparisons: list[Comparison]
    left_out: list[str]
    """Rows that are not there because this machine has no bfloat16 instructions."""


HEADER = ("What", "Here", "Beside", "Ratio (least–most)", "Target", "Met")


def number(value: float) -> str:
    """Three digits that count."""
    if not math.isfinite(value) or value == 0:
        return str(value)
    return f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def _share(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"


def take_turns(contenders: Mapping[str, Contender], rounds: int, warm_up: bool = False) -> dict[str, list[float]]:
    """Run each contender once a round, every other round in reverse order; gives each one's figures.

    With ``warm_up`` each turn is a run that does not count and one that does: what a process found in caches and in memory has
    gone to others while they had their turns.
    """
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds):
        for name in list(contenders) if turn % 2 == 0 else reversed(list(contenders)):
            if warm_up:
                contenders[name]()
            figures[name].append(contenders[name]())
    return figures


@contextmanager
def apart(builders: Mapping[str, Callable[[], Contender]]) -> Iterator[dict[str, Contender]]:
    """Each contender in a fresh process of its own, which makes it by its builder and runs it when it is called here.

    For contenders that need other settings of the process: its threads, its memory. A builder is a module's function, or a
    ``partial`` of one. All are made first; nobody computes but who was called.
    """
    context = get_context("spawn")
    wires, processes = {}, []
    try:
        for name, build in builders.items():
            wires[name], theirs = context.Pipe()
            processes.append(context.Process(target=_answer, args=(theirs, build), daemon=True))
            processes[-1].start()
            theirs.close()
        for name, wire in wires.items():
            _answered(name, wire)
        yield {name: partial(_ask, name, wire) for name, wire in wires.items()}
    finally:
        for wire in wires.values():
            wire.close()
        for process in processes:
            process.join()


def _answer(wire: Connection, build: Callable[[], Contender]) -> None:
    with suppress(KeyboardInterrupt):
        contender = build()
        wire.send(None)
        with suppress(EOFError):
            while True:
                wire.recv()
                wire.send(contender())


def _ask(name: str, wire: Connection) -> float:
    wire.send(None)
    figure: float = _answered(name, wire)
    return figure


def _answered(name: str, wire: Connection) -> Any:
    try:
        return wire.recv()
    except EOFError:
        raise RuntimeError(f"the process of {name} ended before it answered; what it said stands above") from None


def rate(work: Callable[[], object], items: int, times: int = 1) -> float:
    """Items a second of ``work``, which handles ``items`` of them, over ``times`` calls."""
    begun = time.perf_counter()
    for _ in range(times):
        work()
    return items * times / (time.perf_counter() - begun)


def table(comparisons: Sequence[Comparison]) -> str:
    """The comparisons as a Markdown table."""
    rows = [HEADER, tuple("---" for _ in HEADER), *(comparison.cells() for comparison in comparisons)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def parser(description: str, rounds: int) -> argparse.ArgumentParser:
    """The options that all measurements have."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--rounds", type=int, default=rounds, help="how often the contenders take turns (default: %(default)s)")
    options.add_argument("--json", type=Path, metavar="FILE", help="write the figures of every round there too")
    return options


def tell(comparisons: Sequence[Comparison], options: argparse.Namespace, left_out: Sequence[str] = ()) -> None:
    """Print the table and the rows that were left out, and write both where ``--json`` says."""
    print(shown(comparisons, left_out))
    if options.json:
        options.json.write_text(json.dumps(asdict(Figures(list(comparisons), list(left_out))), indent=1) + "\n")


def shown(comparisons: Sequence[Comparison], left_out: Sequence[str]) -> str:
    """The table, and behind it which rows were left out and why."""
    parts = [table(comparisons)]
    if left_out:
        parts.append(f"Left out, as this machine has no bfloat16 instructions: {'; '.join(left_out)}.")
    return "\n\n".join(parts)


def read(path: Path) -> Figures:
    """What ``tell`` wrote."""
    content = json.loads(path.read_text())
    return Figures([Comparison(**fields) for fields in content["comparisons"]], content["left_out"])
