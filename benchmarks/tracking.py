"""Training steps on a batch in memory while MLflow's server never answers, beside the same steps without MLflow."""

import os
import socket
from pathlib import Path
from tempfile import TemporaryDirectory

from alexnet.config.training import Training
from alexnet.models.numerics import prepare_process
from alexnet.pipeline.distributed import Ranks
from alexnet.pipeline.engine import StepStats
from alexnet.pipeline.timing import StepTiming
from alexnet.tracking.background import BackgroundRun
from alexnet.tracking.client import Store
from alexnet.train.session import build_engine
from benchmarks import steps
from benchmarks.measure import Comparison, Contender, parser, take_turns, tell
from benchmarks.paper import paper
from benchmarks.precisions import precisions, the_device


class Reporting(steps.Stopwatch):
    """Hands the figures of each step to a run, as a training does."""

    def __init__(self, run: BackgroundRun) -> None:
        self.run = run

    def step(self, epoch: int, step: int, count: int, stats: StepStats, timing: StepTiming) -> None:
        """Report."""
        super().step(epoch, step, count, stats, timing)
        self.run.metrics({f"figure {number}": stats.loss / count for number in range(4)}, step)


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the table."""
    options = parser(__doc__ or "", rounds=5)
    options.add_argument("--batch", type=int, default=128, help="images a step (default: %(default)s)")
    options.add_argument("--threads", type=int, default=2, help="CPU threads that compute (default: %(default)s)")
    chosen = options.parse_args(arguments)
    settings = Training.read(paper(precision=precisions()[0], batch_size=chosen.batch, threads=chosen.threads))
    prepare_process(chosen.threads)
    with TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as mute:
        os.environ["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{mute.getsockname()[1]}"
        run = BackgroundRun(Store(Path(folder)), "measured", {"training": "measured"}, machine=True)
        figures = take_turns(contenders(settings, run), chosen.rounds, warm_up=True)
        run.end("KILLED", patience=1)
    what = f"training step, {settings.precision}, MLflow's server does not answer"
    tell([Comparison(what, "images/s", figures["slow"], "without MLflow", figures["none"], 0.95)], chosen)


def contenders(settings: Training, run: BackgroundRun) -> dict[str, Contender]:
    """The same engine with and without ``run``; images a second."""
    ranks = Ranks(0, 1, the_device())
    engine = build_engine(steps.net_of(settings), settings, ranks)
    return {
        "slow": steps.repeated(engine, settings, ranks, steps.CLASSES, watch=lambda: Reporting(run)),
        "none": steps.repeated(engine, settings, ranks, steps.CLASSES),
    }


if __name__ == "__main__":
    main()
