"""The wait for images in a training, beside its whole time; and its speed, beside the same steps on a batch in memory."""

from contextlib import chdir
from tempfile import TemporaryDirectory

import numpy as np

from alexnet.files.eigenbasis import Eigenbasis
from alexnet.input.shards import Shards
from alexnet.models.numerics import prepare_process
from alexnet.pipeline.distributed import Ranks
from alexnet.train.session import Inputs, Session
from benchmarks import steps
from benchmarks.measure import Comparison, parser, take_turns, tell
from benchmarks.paper import paper
from benchmarks.precisions import precisions, the_device
from stages import download, paths, pca, preprocess, train

WHAT = "training from 256×256 JPEGs"


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the table."""
    options = parser(__doc__ or "", rounds=3)
    options.add_argument("--batch", type=int, default=128, help="images a step (default: %(default)s)")
    options.add_argument("--steps", type=int, default=4, help="steps an epoch (default: %(default)s)")
    options.add_argument("--threads", type=int, default=2, help="CPU threads that compute (default: %(default)s)")
    chosen = options.parse_args(arguments)
    params = paper(
        data__source="digits",
        data__limit=chosen.batch * chosen.steps,
        data__blends=1,
        preprocess__size=256,
        batch_size=chosen.batch,
        precision=precisions()[0],
        threads=chosen.threads,
    )
    with TemporaryDirectory() as folder, chdir(folder):
        for stage in (download, pca, preprocess):
            stage.main(stage.Params.read(params))
        prepare_process(chosen.threads)
        left_out = [] if "bfloat16" in precisions() else [f"{WHAT}, bfloat16"]
        tell(measured(train.Params.read(params), chosen.rounds, chosen.steps), chosen, left_out)


def measured(settings: train.Params, rounds: int, steps_alone: int) -> list[Comparison]:
    """Train on the shards of the working directory, one epoch a round and one to warm up, and as often on a batch in memory."""
    ranks = Ranks(0, 1, the_device())
    splits = Shards(paths.SHARDS, "train"), Shards(paths.SHARDS, "val")
    inputs = Inputs(*splits, Eigenbasis.read(paths.EIGENBASIS), np.load(paths.MEAN))
    session = Session(settings, settings.machine, inputs, ranks)
    run = steps.epochs(session.trainer)
    waits: list[float] = []
    whole: list[float] = []

    def fed() -> float:
        waited, seconds = run()
        waits.append(waited)
        whole.append(seconds)
        return len(splits[0]) / seconds

    alone = steps.repeated(session.engine, settings, ranks, len(session.meta.classes), steps_alone)
    contenders = {"fed": fed, "alone": alone}
    for warm_up in contenders.values():
        warm_up()
    speeds = take_turns(contenders, rounds)
    what = f"{WHAT}, {settings.precision}"
    return [
        Comparison(f"{what}: wait for images", "s", waits[1:], "the whole epoch", whole[1:], 0.02, at_most=True),
        Comparison(what, "images/s", speeds["fed"], "the same steps, images in memory", speeds["alone"], 0.95),
    ]


if __name__ == "__main__":
    main()
