"""The figures with axes: curves, confusion matrix, eigenbasis, as SVG text in the colours of ``theme``."""

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from numpy.typing import NDArray

from alexnet.report.canvas import WIDTH, canvas, shortened, style, svg
from alexnet.report.theme import BLUE, INK, MUTED, ORANGE

NAMED = 40
"""The confusion matrix names each class up to this number; beyond, it shows groups of neighbouring labels."""
COUNTED = 16
"""It has room for the counts up to this number of classes."""
MARKED = 6
"""Drops of the learning rate are marked in the curves up to this number."""
GROUPS = 50


def rate_drops(curves: dict[str, list[float]]) -> list[tuple[float, float]]:
    """The epochs that started with another learning rate than the one before, and that rate."""
    changes = zip(curves["epoch"][1:], pairwise(curves["lr"]), strict=True)
    return [(epoch, after) for epoch, (before, after) in changes if after != before]


def loss_curve(curves: dict[str, list[float]]) -> str:
    """Training and validation loss (cross-entropy, nats) over the epochs."""
    with style():
        figure, axes = canvas(WIDTH, 290)
        _draw_epochs(axes, curves, {"train_loss": ("train", MUTED, "-"), "val_loss": ("val", BLUE, "-")}, "{:.2f}")
        axes.set_title("Loss", loc="left", fontsize=12)
        return svg(figure)


def error_curve(curves: dict[str, list[float]]) -> str:
    """Top-1 error in training and validation, top-5 in validation, over the epochs."""
    lines = {
        "train_top1_error": ("train top-1", MUTED, "-"),
        "val_top1_error": ("val top-1", BLUE, "-"),
        "val_top5_error": ("val top-5", BLUE, (0, (2, 1.5))),
    }
    percents = {column: [100 * value for value in values] if column in lines else values for column, values in curves.items()}
    with style():
        figure, axes = canvas(WIDTH, 290)
        _draw_epochs(axes, percents, lines, "{:.1f} %")
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g} %"))
        axes.set_title("Error", loc="left", fontsize=12)
        return svg(figure)


def confusion_matrix(confusion: NDArray[np.int64], names: list[str]) -> str:
    """Counts (classes, classes), rows actual, columns predicted: blue on the diagonal, orange off it, by share of the row.

    More than ``NAMED`` classes are summed into ``GROUPS`` groups of neighbouring labels.
    """
    with style():
        classes = len(confusion)
        side = 720 if COUNTED < classes <= NAMED else WIDTH
        figure, axes = canvas(side, side)
        edges = np.linspace(0, classes, min(classes, GROUPS) + 1).astype(int) if classes > NAMED else np.arange(classes + 1)
        counts = np.add.reduceat(np.add.reduceat(confusion, edges[:-1], axis=0), edges[:-1], axis=1)
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        # In groups, cells too faint to see would be most of the file.
        for row, column in np.argwhere(share > (0.002 if classes > NAMED else 0)):
            corner, size = (edges[column], edges[row]), (np.diff(edges)[column], np.diff(edges)[row])
            # The square root makes one mistake in a hundred visible; the limit keeps the counts legible, in dark mode too.
            alpha = max(0.6 * float(np.sqrt(share[row, column])), 0.12)
            axes.add_patch(Rectangle(corner, *size, color=BLUE if row == column else ORANGE, alpha=round(alpha, 3), linewidth=0))
        axes.set(xlim=(0, classes), ylim=(classes, 0), aspect="equal")
        axes.grid(False)
        axes.set_xlabel("predicted")
        axes.set_ylabel("actual")
        for spine in axes.spines.values():
            spine.set_visible(True)
        if classes > NAMED:
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
            return svg(figure)
        labels = [shortened(name, 16) for name in names]
        points = 11 if classes <= COUNTED else 9
        upright = 90 if max(map(len, labels)) > 3 else 0
        axes.set_xticks(np.arange(classes) + 0.5, labels, rotation=upright, fontsize=points, color=INK)
        axes.set_yticks(np.arange(classes) + 0.5, labels, fontsize=points, color=INK)
        axes.tick_params(length=0)
        if classes <= COUNTED:
            for row, column in np.argwhere(counts):
                axes.text(column + 0.5, row + 0.5, f"{counts[row, column]}", ha="center", va="center_baseline", fontsize=10)
        return svg(figure)


def eigen_gradients(mean: list[float], values: list[float], vectors: list[list[float]]) -> str:
    """The mean colour ± 3 standard deviations along each eigenvector of the RGB covariance.

    ``mean`` (3) on the 0..255 scale, ``values`` (3) descending, ``vectors`` (3, 3) in columns.
    """
    with style():
        figure = Figure(figsize=(WIDTH / 72, 250 / 72), dpi=72, layout="constrained")
        reach = np.linspace(-3, 3, 241)
        stack = figure.subplots(3, 1, sharex=True)
        for index, axes in enumerate(stack):
            deviation = float(np.sqrt(max(values[index], 0)))
            colors = np.asarray(mean) + deviation * reach[:, None] * np.asarray(vectors)[:, index]
            picture = np.clip(np.rint(colors), 0, 255).astype(np.uint8)[None]
            axes.imshow(picture, extent=(-3, 3, 0, 1), aspect="auto", interpolation="none")
            axes.set_title(f"vector {index + 1}: sd {deviation:.1f}", loc="left", fontsize=11)
            axes.set_yticks([])
            axes.grid(False)
            axes.tick_params(length=0)
            axes.spines["bottom"].set_visible(False)
        stack[-1].set_xticks(range(-3, 4), ["−3 sd", "−2", "−1", "mean", "+1", "+2", "+3 sd"])
        return svg(figure)


def _draw_epochs(axes: Axes, curves: dict[str, list[float]], lines: dict[str, tuple[str, str, Any]], form: str) -> None:
    epochs, ends = curves["epoch"], []
    for column, (label, color, dashes) in lines.items():
        axes.plot(epochs, curves[column], color=color, linestyle=dashes, marker="o", markersize=4 if len(epochs) <= 20 else 0)
        ends.append((curves[column][-1], f"{label} {form.format(curves[column][-1])}", color))
    reach = min(max(0.5, 0.03 * len(epochs)), 0.9)
    axes.set_xlim(epochs[0] - reach, epochs[-1] + reach)
    axes.set_ylim(0, max(max(curves[column]) for column in lines) * 1.08 or 1)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("epoch")
    _label_ends(axes, ends)
    drops = rate_drops(curves)
    for number, (epoch, rate) in enumerate(drops if len(drops) <= MARKED else []):
        axes.axvline(epoch - 0.5, color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)))
        # Each a line lower than the one before, as drops may be close together.
        axes.annotate(
            f"lr {rate:.3g}",
            (epoch - 0.5, 1 - 0.07 * number),
            xycoords=axes.get_xaxis_transform(),
            xytext=(4, 0),
            textcoords="offset points",
            va="top",
            fontsize=9.5,
            color=MUTED,
        )


def _label_ends(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Label each line at its end, in its colour; labels of lines that end close together are moved apart."""
    top = axes.get_ylim()[1]
    gap, ends = 0.075 * top, sorted(ends)
    places: list[float] = []
    for value, _, _ in ends:
        places.append(max(value, places[-1] + gap) if places else value)
    for index in range(len(places)):
        places[index] = min(places[index], top - gap * (len(places) - 1 - index))
    for place, (_, label, color) in zip(places, ends, strict=True):
        axes.annotate(
            label,
            (1, place),
            xycoords=axes.get_yaxis_transform(),
            xytext=(4, 0),
            textcoords="offset points",
            va="center_baseline",
            color=color,
        )
