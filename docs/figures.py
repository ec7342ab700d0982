"""Draw the figures of docs/results.md, figure-1.svg and ablations.svg, from the curves and records in docs/results."""

from statistics import mean

from matplotlib.axes import Axes

from alexnet.files.whole import write_text
from alexnet.report.canvas import canvas, style, svg
from alexnet.report.theme import BLUE, INK, MUTED, ORANGE, standalone
from workflow.results.records import Result, read_all
from workflow.results.rows import FOLDER, rows
from workflow.results.summary import GOAL, curve, epochs_to, fastest, of_row


def main() -> None:
    """Draw what there are records for."""
    records = read_all()
    for name, draw in (("figure-1", figure_1), ("ablations", ablations)):
        drawing = draw(records)
        if drawing:
            write_text(FOLDER / f"{name}.svg", standalone(drawing))
            print(f"{FOLDER.name}/{name}.svg")


def figure_1(records: dict[str, Result]) -> str | None:
    """The training error of the four-layer net with ReLU and with tanh, each at its fastest rate."""
    best = {activation: fastest(records, f"figure-1-{activation}") for activation in ("relu", "tanh")}
    if None in best.values():
        return None
    with style():
        figure, axes = canvas(560, 320)
        for (activation, result), (color, dash) in zip(best.items(), ((BLUE, "-"), (ORANGE, (0, (4, 2)))), strict=True):
            assert result is not None
            errors = [100 * value for value in curve(result, "train_top1_error")]
            reached = epochs_to(result, GOAL)
            name = {"relu": "ReLU"}.get(activation, activation)
            label = f"{name}: 25 % {'not reached' if reached is None else f'after {reached:.1f} epochs'}"
            axes.plot(range(1, len(errors) + 1), errors, color=color, linestyle=dash, label=label)
        axes.axhline(100 * GOAL, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.set(xlabel="epoch", ylim=(0, 80))
        axes.yaxis.set_major_formatter("{x:g} %")
        axes.set_title("Training error on CIFAR-10 of a four-layer net", loc="left", fontsize=12)
        axes.legend(frameon=False)
        return svg(figure)


def ablations(records: dict[str, Result]) -> str | None:
    """The ten-crop test error of each ablation: a dot for each seed, a line for their mean."""
    kept = [(row, found) for row in rows() if row.claim == "ablations" and (found := of_row(records, row))]
    if not kept:
        return None
    with style():
        figure, axes = canvas(560, 44 * len(kept) + 70)
        for place, (_, found) in enumerate(kept):
            _dots(axes, place, [100 * result.ten_crop_error for result in found], BLUE if place == 0 else ORANGE)
        axes.set_yticks(range(len(kept)), [row.what for row, _ in kept])
        axes.grid(False)
        axes.axvline(mean(100 * result.ten_crop_error for result in kept[0][1]), color=MUTED, linewidth=0.8)
        axes.invert_yaxis()
        axes.xaxis.set_major_formatter("{x:g} %")
        axes.set_title("Test error on CIFAR-10, ten crops, one dot a seed", loc="left", fontsize=12)
        return svg(figure)


def _dots(axes: Axes, place: int, values: list[float], color: str) -> None:
    axes.plot(values, [place] * len(values), "o", color=color, markersize=6, alpha=0.7)
    axes.plot(2 * [mean(values)], [place - 0.25, place + 0.25], color=color)


if __name__ == "__main__":
    main()
