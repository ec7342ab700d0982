"""Train the net over the ranks that torchrun started; see dvc.yaml for the command."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from alexnet.settings.training import Training as Params
from stages import paths
from stages.command import checked_params, main_repository, run

if TYPE_CHECKING:
    from alexnet.parallel.runtime import Runtime


def main(settings: Params) -> None:
    """Join the ranks and train."""
    # Imported here, as params.yaml is checked first and torch takes seconds.
    from alexnet.parallel.runtime import join, prepare_process, supports_bfloat16
    from alexnet.settings.processor import refuse_emulation

    prepare_process(settings.threads)
    with join(settings.pipeline.ranks) as runtime:
        if runtime is not None:
            refuse_emulation(settings.precision, supports_bfloat16(runtime.device))
            train(settings, runtime)


def train(settings: Params, runtime: "Runtime") -> None:
    """This process's part; rank 0 writes the model, its card and the curves, and tells MLflow."""
    import numpy as np
    import pandas as pd

    from alexnet.background import Run
    from alexnet.data.disk import need
    from alexnet.data.shards import Shards
    from alexnet.files import read_json, write_text
    from alexnet.model.saved import save_model
    from alexnet.tracking import Store, flat
    from alexnet.training.session import Session
    from stages.provenance import run_name, run_tags

    splits = Shards(paths.SHARDS, "train"), Shards(paths.SHARDS, "val")
    if settings.init_from:
        settings = settings.model_copy(update={"init_from": str(main_repository() / settings.init_from)})
    session = Session(settings, runtime, *splits, read_json(paths.EIGENBASIS), np.load(paths.MEAN))
    need(Path(), 8 * session.parameters, "the model, with its copy for MLflow,")
    checkpoint = session.checkpoint(main_repository() / paths.CHECKPOINTS)
    if not runtime.lead:
        for _ in session.run(lambda values, step: None, checkpoint):
            pass
        session.weights()
        return
    with checkpoint:
        with Run(Store(main_repository()), run_name(), {"training": checkpoint.token}, machine=True) as record:
            record.params(flat(checked_params()) | flat({"lineage": session.lineage}))
            # A run that goes on has the name of the experiment that was stopped.
            record.tags(run_tags() | {"data_source": session.lineage["source"], "mlflow.runName": run_name()})
            epochs = []
            for epoch in session.run(record.metrics, checkpoint):
                epochs.append(epoch)
                write_text(paths.CURVES, pd.DataFrame(epochs).to_csv(index=False))
                record.metrics({name: value for name, value in asdict(epoch).items() if name != "epoch"}, epoch.epoch)
            card = save_model(paths.MODEL, paths.CARD, session.weights(), session.mean, session.card(epochs))
            record.tags({"model_sha256": card.sha256})
            for path in (paths.MODEL, paths.CARD):
                record.artifacts(path, str(path.parent))
        # Not before: a Ctrl-C that came while MLflow got the model ends the stage here, and DVC drops what it made.
        checkpoint.clear()


if __name__ == "__main__":
    run(main, Params)
