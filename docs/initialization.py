"""Draw docs/initialization.svg: the loss of the first steps of some of MLflow's runs, each named as ``NAME=label``.

docs/fidelity.md has the commands that make the runs. The steps' losses are written beside it, as docs/initialization.csv.
"""

import math
import os
import sys
from pathlib import Path

import mlflow
import pandas as pd

from alexnet.files.whole import write_text
from alexnet.report.canvas import canvas, style, svg
from alexnet.report.theme import BLUE, INK, MUTED, ORANGE, standalone

HERE = Path(__file__).parent
STEPS = 100


def losses(run_name: str) -> pd.Series:
    """The training loss of each step of the newest run of that name."""
    runs = mlflow.search_runs(experiment_names=["alexnet"], filter_string=f"run_name = '{run_name}'", output_format="list")
    if not runs:
        sys.exit(f"error: MLflow has no run {run_name}; docs/fidelity.md has the command that makes it")
    history = mlflow.MlflowClient().get_metric_history(runs[0].info.run_id, "step_loss")
    return pd.Series({point.step: point.value for point in history}).sort_index()[:STEPS]


def main(arguments: list[str]) -> None:
    """Read the runs, write the table and the drawing."""
    mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db"))
    labels = dict(argument.split("=", 1) for argument in arguments)
    table = pd.DataFrame({label: losses(name) for name, label in labels.items()})
    write_text(HERE / "initialization.csv", table.round(4).to_csv(index_label="step"))
    with style():
        figure, axes = canvas(720, 320)
        for (label, curve), color in zip(table.items(), (BLUE, ORANGE, MUTED), strict=False):
            axes.plot(curve.index, curve, color=color, linewidth=1.2, label=label)
        axes.axhline(math.log(10), color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.text(1, math.log(10) - 0.05, "ln 10: nothing learnt", fontsize=10)
        axes.set(xlabel="step", xlim=(0, STEPS + 1))
        axes.set_title("Training loss of each batch of 128", loc="left", fontsize=12)
        axes.legend(frameon=False, loc="lower left")
        write_text(HERE / "initialization.svg", standalone(svg(figure)))


if __name__ == "__main__":
    main(sys.argv[1:])
