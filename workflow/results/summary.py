"""What the records say of the claims: figures derived from them, and the tables of docs/results.md."""

import csv
from collections.abc import Callable, Iterable, Sequence
from statistics import mean, stdev

from workflow.results.estimates import TRAIN_IMAGES, read_estimates
from workflow.results.records import Result, read_all
from workflow.results.rows import FOLDER, SCHEDULES, Row, Run, Schedule, rows

GOAL = 0.25
"""The training error of figure 1."""
MILESTONES = {0.26: "80 seconds", 0.18: "20 minutes", 0.13: "25 minutes", 0.11: "75 minutes"}
"""Test errors, and the time that cuda-convnet took on a GPU of 2011."""
Records = dict[str, Result]
Table = tuple[Sequence[str], list[Sequence[str]]]
"""The head and the rows."""


def of_row(records: Records, row: Row) -> list[Result]:
    """The records of a row, those of the full schedule if there are any."""
    found = ([result for result in records.values() if (result.row, result.schedule) == (row.id, name)] for name in SCHEDULES)
    return next((results for results in found if results), [])


def curve(result: Result, column: str) -> list[float]:
    """A column of a training's curves, an entry for each epoch."""
    with (FOLDER / f"{result.name}.csv").open(newline="", encoding="utf-8") as file:
        return [float(row[column]) for row in csv.DictReader(file)]


def epochs_to(result: Result, error: float, column: str = "train_top1_error") -> float | None:
    """Epochs until ``column`` of the curves is at most ``error``, between two by a straight line; None if it never is."""
    errors = curve(result, column)
    for epoch, now in enumerate(errors, 1):
        if now <= error:
            before = errors[epoch - 2] if epoch > 1 else now
            return epoch - ((error - now) / (before - now) if before > now else 0)
    return None


def fastest(records: Records, beginning: str) -> Result | None:
    """Of the rows whose id begins so, the training that reaches ``GOAL`` first; else the one that comes nearest."""
    found = [result for row in rows() if row.id.startswith(beginning) for result in of_row(records, row)]
    return min(found, key=lambda result: (epochs_to(result, GOAL) or float("inf"), result.train_error), default=None)


def figure_1() -> Table:
    """Epochs to 25 % training error of each rate, and the ratio of the fastest ones."""
    records, lines = read_all(), list[Sequence[str]]()
    for row in _of("figure-1"):
        if found := of_row(records, row):
            reached = epochs_to(found[0], GOAL)
            epochs, at_the_end = f"{reached:.1f}" if reached else "not reached", f"{100 * found[0].train_error:.1f} %"
            lines.append((row.what, _id(row), epochs, at_the_end, *_run(found[0])))
        else:
            lines.append((row.what, _id(row), *_missing(row)))
    relu, tanh = (fastest(records, f"figure-1-{name}") for name in ("relu", "tanh"))
    if relu and tanh and (fast := epochs_to(relu, GOAL)) and (slow := epochs_to(tanh, GOAL)):
        lines.append(("**tanh / ReLU**, each at its fastest rate", "", f"**{slow / fast:.1f}** (the paper: 6)", "", "", "", ""))
    head = ("Net", "`--rows`", "Epochs to 25 % training error", "Training error at the end", "Epochs", "Time", "Machine")
    return head, lines


def errors(claim: str) -> Table:
    """Test errors of a claim's rows beside the published ones."""
    records, lines = read_all(), list[Sequence[str]]()
    for row in _of(claim):
        found = of_row(records, row)
        if found:
            center = _spread([result.center_error for result in found])
            ten = _spread([result.ten_crop_error for result in found])
            epochs, time, machine = _run(*found)
            fewer_epochs, fewer_images = found[0].epochs < row.planned_epochs, found[0].images < TRAIN_IMAGES
            if fewer_epochs:
                epochs = f"{epochs} of {row.planned_epochs}"
            if fewer_images:
                epochs = f"{epochs}, {found[0].images:,} images"
            if found[0].schedule == "short" and (fewer_epochs or fewer_images):
                time = "; ".join([time, *_estimated(row, "full")])
            lines.append((row.what, _id(row), row.published or "–", center, ten, epochs, time, machine))
        else:
            lines.append((row.what, _id(row), row.published or "–", *_missing(row)))
    return ("Row", "`--rows`", "Published", "Centre crop", "Ten crops", "Epochs", "Time", "Machine"), lines


def ablations() -> Table:
    """By how much the ten crops' error grows without each feature, and the error with the centre crop alone."""
    records = read_all()
    base, *others = _of("ablations")
    whole = of_row(records, base)
    lines = list[Sequence[str]]()
    for row in others:
        without = of_row(records, row)
        gain = _gain(without, whole) if without and whole else "not run yet"
        lines.append((row.what, row.published or "–", gain))
    crops = f"{_signed(mean(result.center_error - result.ten_crop_error for result in whole))} points" if whole else "not run yet"
    lines.append(("the centre crop alone", "1.5 points", crops))
    return ("What is changed", "Increase in error: the paper", "here"), lines


def times() -> Table:
    """Minutes until the validation error is down to cuda-convnet's, by the quickest row on each kind of processor."""
    by_processor: dict[str, list[Result]] = {}
    for result in sorted(read_all().values(), key=_processor):
        by_processor.setdefault(_processor(result), []).append(result)
    lines: list[Sequence[str]] = [
        (f"{100 * error:.0f} %", published, *(_quickest(error, found) for found in by_processor.values()))
        for error, published in MILESTONES.items()
    ]
    return ("Error", "cuda-convnet, 2011", *by_processor), lines


TABLES: dict[str, Callable[[], Table]] = {
    "results-figure-1": figure_1,
    "results-ablations": lambda: errors("ablations"),
    "results-gains": ablations,
    "results-footnote": lambda: errors("footnote"),
    "results-re-implementations": lambda: errors("re-implementations"),
    "results-modern": lambda: errors("modern"),
    "results-times": times,
}
"""By the names that docs/results.md gives them."""


def _id(row: Row) -> str:
    return f"`{row.id}`"


def _of(claim: str) -> list[Row]:
    return [row for row in rows() if row.claim == claim]


def _run(*found: Result) -> tuple[str, str, str]:
    """Epochs, mean time and machine; if there are several, of each."""
    seconds: dict[str, list[float]] = {}
    for result in found:
        seconds.setdefault(result.machine, []).append(result.seconds)
    return f"{found[0].epochs}", "; ".join(f"{mean(some) / 60:.1f} min" for some in seconds.values()), "; ".join(seconds)


def _processor(result: Result) -> str:
    """The GPU or the CPU, without the cores and what ran beside it."""
    return result.machine.partition(",")[0]


def _quickest(error: float, found: Iterable[Result]) -> str:
    """After how many minutes, and in which row, the validation error was first down to ``error``."""
    reached = [
        (epochs * result.images / result.images_per_second / 60, result.row)
        for result in found
        if result.images_per_second and (epochs := epochs_to(result, error, "val_top1_error")) is not None
    ]
    minutes, row = min(reached, default=(None, ""))
    return f"{minutes:.1f} min, `{row}`" if minutes is not None else "–"


def _missing(row: Row) -> tuple[str, ...]:
    """The last five cells of a row without a record: how long it would take."""
    times = [estimate for schedule in SCHEDULES for estimate in _estimated(row, schedule)]
    return "not run yet", "–", "–", ", ".join(times) or "–", "–"


def _estimated(row: Row, schedule: Schedule) -> list[str]:
    """How long a training of the row takes on two CPU cores, if that is known."""
    known, run = read_estimates(), Run(row, row.seeds[0], schedule)
    return [f"{schedule}, {run.settings({})['epochs']} epochs, about {known[run.name]:.0f} min"] if run.name in known else []


def _spread(errors: list[float]) -> str:
    """In percent; the mean and the standard deviation if there are several."""
    return f"{100 * mean(errors):.2f} %" + (f" ± {100 * stdev(errors):.2f}" if len(errors) > 1 else "")


def _gain(without: list[Result], whole: list[Result]) -> str:
    """By how much the ten crops' error is larger without a feature: the means' difference, and its standard error."""
    one, other = ([result.ten_crop_error for result in found] for found in (without, whole))
    difference = _signed(mean(one) - mean(other))
    if min(len(one), len(other)) < 2:
        return f"{difference} points"
    error = (stdev(one) ** 2 / len(one) + stdev(other) ** 2 / len(other)) ** 0.5
    return f"{difference} ± {100 * error:.2f} points"


def _signed(difference: float) -> str:
    """In percentage points."""
    return f"{100 * difference:+.2f}".replace("-", "−")
