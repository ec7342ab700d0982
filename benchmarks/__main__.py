"""All measurements one after the other, and the page that shows them; or some of them, printed."""

import argparse
import ast
import os
import platform
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from alexnet.config.processor import has_bfloat16, processor
from alexnet.files.whole import write_text
from benchmarks.measure import Figures, read, shown

HERE = Path(__file__).parent
PAGE = HERE / "README.md"
NOTES = HERE / "notes.md"
METER = "pipeline"
"""The measurement that leaves a table and a drawing of its own."""
BENCHES = (
    "training",
    "pipeline",
    "waiting",
    "evaluation",
    "loading",
    "preprocessing",
    "eigenbasis",
    "memory",
    "tracking",
    "workflow",
    "scale",
)
LIMIT = 1800
"""Seconds after which a measurement is given up: three times what the longest takes on two slow cores."""
PACKAGES = ("torch", "torchvision", "numpy", "pillow", "simplejpeg", "scikit-learn", "dvc")


@dataclass(frozen=True)
class Outcome:
    """Of one measurement."""

    bench: str
    figures: Figures
    failure: str = ""
    """Why there are no figures, in a few words."""


def main(arguments: list[str] | None = None) -> int:
    """Run them, each in a process of its own. Gives the status to exit with: 1 where one failed."""
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(BENCHES)}; all, and the page, without")
    options.add_argument("--rounds", type=int, help="how often contenders take turns; each measurement's own number without")
    chosen = options.parse_args(arguments)
    unknown = [name for name in chosen.names if name not in BENCHES]
    if unknown:
        options.error(f"{unknown[0]} is not a measurement; choose from {', '.join(BENCHES)}")
    outcomes = []
    for bench in chosen.names or BENCHES:
        print(f"benchmarks.{bench}", file=sys.stderr, flush=True)
        outcomes.append(run(bench, chosen.rounds, None if chosen.names else HERE))
        if outcomes[-1].failure:
            print(f"error: benchmarks.{bench} {outcomes[-1].failure}", file=sys.stderr)
    if chosen.names:
        print(results(outcomes))
    else:
        write_text(PAGE, page(outcomes))
        print(f"written: benchmarks/{PAGE.name}", file=sys.stderr)
    return int(any(outcome.failure for outcome in outcomes))


def run(bench: str, rounds: int | None, page: Path | None = None) -> Outcome:
    """Run a measurement as a user would, and read the figures that it leaves. ``page``: the folder of the meter's own files."""
    with TemporaryDirectory() as folder:
        figures = Path(folder) / "figures.json"
        command = [sys.executable, "-m", f"benchmarks.{bench}", "--json", str(figures)]
        command += ["--rounds", str(rounds)] if rounds else []
        if page and bench == METER:
            for left in (page / f"{METER}.md", page / f"{METER}.svg"):
                left.unlink(missing_ok=True)
            command += ["--page", str(page)]
        # A group of its own, so that what it started ends with it.
        process = subprocess.Popen(command, cwd=HERE.parent, stdout=subprocess.DEVNULL, process_group=0)
        try:
            status = process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            return Outcome(bench, Figures([], []), f"took more than {LIMIT} seconds")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if status or not figures.is_file():
            return Outcome(bench, Figures([], []), f"ended with {status}" if status else "left no figures")
        return Outcome(bench, read(figures))


def results(outcomes: list[Outcome]) -> str:
    """All rows in one table, and those that were left out."""
    return shown(
        [comparison for outcome in outcomes for comparison in outcome.figures.comparisons],
        [row for outcome in outcomes for row in outcome.figures.left_out],
    )


def page(outcomes: list[Outcome]) -> str:
    """The whole page, in Markdown; ``NOTES``, written by hand, is its end."""
    comparisons = [comparison for outcome in outcomes for comparison in outcome.figures.comparisons]
    failures = [f"`{outcome.bench}` {outcome.failure}, so its rows are missing." for outcome in outcomes if outcome.failure]
    parts = [
        "# Measurements",
        "This project beside the usual alternatives. The contenders take turns, every other round in "
        "reverse order. Figures are medians of the rounds; the ratio is the median of the rounds' ratios, behind it the least "
        "and the most of them. `make bench` makes this page anew.",
        machine(),
        f"{sum(comparison.met for comparison in comparisons)} of {len(comparisons)} targets are met.",
        *failures,
        results(outcomes),
        "## What is compared",
        "\n".join(f"- `python -m benchmarks.{outcome.bench}`: {sentence(outcome.bench)}" for outcome in outcomes),
        *meter(),
        *([NOTES.read_text().strip()] if NOTES.is_file() else []),
    ]
    return "\n\n".join(parts) + "\n"


def meter() -> list[str]:
    """The part on how long ranks wait, from what ``METER`` left beside the page."""
    rows, drawing = HERE / f"{METER}.md", HERE / f"{METER}.svg"
    if not (rows.is_file() and drawing.is_file()):
        return []
    return [
        "## How long ranks wait",
        "The pipeline by its cuts and schedules, rank 0 · rank 1. Computing: forward, backward, gradients of weights and the "
        "update. Idle: the rest, as measured; as it would be if each rank did the same work in the same order and waited for "
        "nothing but its inputs; and by the formula for p ranks with v stages each of equal length and m microbatches, where "
        "a rank idles between two batches too. A later cut gives the first rank more to do.",
        rows.read_text().strip(),
        "One batch, a row a rank, with the numbers of the microbatches; what is empty is waiting.",
        f"![Timelines of both ranks under three schedules]({drawing.name})",
    ]


def sentence(bench: str) -> str:
    """What a measurement compares: the first line of its module, which is not imported for it."""
    path = HERE / f"{bench}.py"
    text = ast.get_docstring(ast.parse(path.read_text())) if path.is_file() else None
    return text.splitlines()[0] if text else "not there."


def machine() -> str:
    """What the figures depend on: processor, memory, GPUs, system and versions."""
    cores = len(os.sched_getaffinity(0))
    instructions = "with" if has_bfloat16() else "without"
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    kernel = ".".join(platform.release().split("-")[0].split(".")[:2])
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return (
        f"Machine: {processor()}, {cores} cores, {instructions} bfloat16 instructions; "
        f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB of memory; {', '.join(gpus) or 'no GPU'}; "
        f"{platform.system()} {kernel}. Python {platform.python_version()}, {versions}."
    )


if __name__ == "__main__":
    sys.exit(main())
