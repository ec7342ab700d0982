"""Train the net over the ranks that torchrun started; see dvc.yaml for the command."""

import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alexnet import launcher
from alexnet.config.machine import Machine
from alexnet.config.training import Training
from stages import paths
from stages.command import checked_params, run

if TYPE_CHECKING:
    from alexnet.pipeline.distributed import Ranks
    from alexnet.pipeline.engine import StepStats
    from alexnet.pipeline.timing import StepTiming
    from alexnet.train.session import Session
    from alexnet.train.state import Epoch
    from alexnet.train.stopping import Stopped


class Params(Training):
    """The keys of params.yaml that this stage reads."""

    machine: Machine


def main(settings: Params) -> None:
    """Join the ranks and train."""
    # Imported here, as params.yaml is checked first and torch takes seconds.
    from alexnet.config.processor import refuse_emulation
    from alexnet.models.numerics import prepare_process, supports_bfloat16
    from alexnet.pipeline.distributed import join

    prepare_process(settings.threads)
    with join(settings.pipeline.ranks, settings.machine.patience, settings.pipeline.replicas) as ranks:
        if ranks is not None:  # one GPU for all ranks: only the lead trains
            refuse_emulation(settings.precision, supports_bfloat16(ranks.device))
            train(settings, ranks)


def train(settings: Params, ranks: "Ranks") -> None:
    """This process's part. The lead also writes the model, its card and the curves, and reports to MLflow and the terminal."""
    import numpy as np

    from alexnet.disk import require_free_space
    from alexnet.files.eigenbasis import Eigenbasis
    from alexnet.files.whole import read_array
    from alexnet.home import expanded
    from alexnet.input.shards import Shards
    from alexnet.train.session import Inputs, Session
    from alexnet.train.stopping import Stopped
    from alexnet.train.trainer import Silent

    if settings.init_from:
        start = paths.main_repository() / expanded(settings.init_from, "init_from")
        settings = settings.model_copy(update={"init_from": str(start)})
    splits = Shards(paths.SHARDS, "train"), Shards(paths.SHARDS, "val")
    inputs = Inputs(*splits, Eigenbasis.read(paths.EIGENBASIS), np.array(read_array(paths.MEAN)))
    session = Session(settings, settings.machine, inputs, ranks)
    session.refuse_differences()
    require_free_space(Path(), 2 * 4 * session.parameters, "the model, with its copy for MLflow,")
    with session.checkpoint(paths.main_repository() / paths.CHECKPOINTS) as checkpoint:
        with ExitStack() as stack:
            lead = Lead(session, checkpoint.token, stack) if ranks.lead else None
            try:
                history = session.trainer.fit(lead or Silent(), checkpoint)
            except Stopped as stop:
                raise KeyboardInterrupt(farewell(stop, settings)) from None
            weights = session.engine.full_state_dict()
            if lead:
                sha256 = lead.save(weights, history)
        # Only now: Ctrl-C during the upload to MLflow ends the stage above, and DVC drops its outs.
        if lead:
            checkpoint.finish(sha256)


def farewell(stop: "Stopped", settings: Training) -> str:
    """Where a training was stopped, and how to go on, on one line."""
    from alexnet.train.schedules import NEED_EPOCHS

    done, steps = stop.state.epoch - 1, stop.state.steps
    where = f"stopped after step {steps} of epoch {done + 1}" if steps else f"stopped after epoch {done}"
    if not stop.saved:
        return f"{where}, which could not be saved"
    if settings.lr_schedule in NEED_EPOCHS:
        fixed = f"lr_schedule: {settings.lr_schedule} plans its rates for epochs: {settings.epochs}"
        return f"{where}; the same command goes on from there ({fixed}, so no model can be kept before)"
    if steps or not done:
        return f"{where}; the same command goes on from there"
    if launcher.node():
        return f"{where}; the first node says how to go on"
    command = "dvc exp run" if Path.cwd() == paths.main_repository().resolve() else "the same command with"
    return f"{where}; {command} -S epochs={done} keeps this model, and the same command goes on"


class Lead:
    """The lead rank's observer: curves in train.csv, progress on the terminal, everything in MLflow."""

    def __init__(self, session: "Session", token: str, stack: ExitStack) -> None:
        """``token`` identifies the training, so that one that resumes continues its run in MLflow. ``stack`` ends that run."""
        from alexnet.config.section import flat
        from alexnet.tracking.background import BackgroundRun
        from alexnet.tracking.client import Store
        from alexnet.tracking.progress import Progress
        from alexnet.tracking.registry import DATA
        from stages.provenance import run_name, run_tags

        print(session.describe(), file=sys.stderr)
        self.session = session
        self.history: list[Epoch] = []
        run = BackgroundRun(Store(paths.main_repository()), run_name(), {"training": token}, machine=True)
        self.run = stack.enter_context(run)
        self.run.params(flat(checked_params()) | flat({"lineage": session.lineage.model_dump()}))
        # A run that is resumed has the name of the experiment that was stopped.
        data = {"data_source": session.lineage.source, DATA: session.lineage.sha256["test"]}
        self.run.tags(run_tags() | data | {"mlflow.runName": run_name()})
        self.run.data(session.lineage.model_dump(), "train")
        self.progress = Progress(session.settings.epochs, session.trainer.steps_per_epoch)
        stack.callback(self.progress.bar.close)

    def step(self, epoch: int, step: int, count: int, stats: "StepStats", timing: "StepTiming") -> None:
        speed = count / timing.whole
        self.run.metrics(
            {
                "step_loss": stats.loss / count,
                "images_per_second": speed,
                "gflops_per_second": speed * self.session.flops / 1e9,
                "data_wait": timing.data_wait,
            },
            step,
        )
        self.progress.step(epoch, step, count, stats.loss / count, stats.top1_wrong / count)

    def idle(self, step: int, shares: list[float]) -> None:
        self.run.metrics({f"idle_rank_{rank}": share for rank, share in enumerate(shares)}, step)

    def epoch(self, figures: "Epoch") -> None:
        import pandas as pd

        from alexnet.files.whole import write_text

        self.history.append(figures)
        write_text(paths.CURVES, pd.DataFrame(self.history).to_csv(index=False))
        self.run.metrics({name: value for name, value in asdict(figures).items() if name != "epoch"}, figures.epoch)
        self.progress.epoch(figures.epoch, figures.train_loss, figures.val_loss, figures.val_top1_error)

    def save(self, weights: dict[str, Any], history: list["Epoch"]) -> str:
        """Write the model and its card, and hand both to MLflow. Returns the model's SHA-256."""
        from alexnet.models.saved import save_weights

        card = self.session.card(history, save_weights(paths.MODEL, weights, self.session.mean))
        card.write(paths.CARD)
        self.run.tags({"model_sha256": card.sha256})
        self.run.artifacts(paths.CARD, str(paths.CARD.parent))
        if self.session.machine.log_model:
            example = bytes(self.session.trainer.images.val.jpeg(0))
            self.run.model(paths.MODEL, paths.CARD, card.model_dump(), example)
        return card.sha256


if __name__ == "__main__":
    run(main, Params)
