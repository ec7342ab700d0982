"""Send to MLflow the runs that it missed, and experiments whose training DVC had no need to run."""

import os
import tempfile
import time
from itertools import chain
from pathlib import Path

from alexnet.errors import UserError
from alexnet.output import say
from alexnet.tracking.client import Store, StoredRun
from alexnet.tracking.journal import rests, send
from alexnet.tracking.registry import CONTEXTS
from stages.command import run
from stages.paths import CARD, MODEL, main_repository
from stages.provenance import WORKSPACE
from workflow.experiments import Experiment, experiments, refs


def main() -> None:
    """Send what processes left that are gone, and what MLflow lacks of each trained model, one line for each.

    A second time there is nothing to send.
    """
    # Nobody computes meanwhile, and a server that passes a model on to other storage answers late.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "120")
    store, sent = Store(main_repository()), False
    try:
        left = (send(rest, store) for rest in rests(store.root))
        for line in chain(left, (complete(store, experiment) for experiment in experiments() if experiment.trained)):
            if line:
                say(line)
                sent = True
    except store.failure as error:
        raise UserError(f"{store.describe(error)}; fix that, then run this again") from None
    if not sent:
        say("MLflow has every run")


def complete(store: Store, experiment: Experiment) -> str:
    """Send what the run of ``experiment`` lacks. Returns what was done in words, empty if nothing was missing."""
    found, tags = run_of(store, experiment), experiment.tags
    renamed = None if found or experiment.in_workspace else run_before_renaming(store, experiment)
    found = found or renamed
    # After `dvc exp run` and `dvc exp apply` the workspace holds an experiment's model, whose run is enough.
    if not found and experiment.in_workspace and store.runs({"model_sha256": tags["model_sha256"]}):
        return ""
    stored = found or store.create(experiment.run_name, tags)
    now, metrics = int(time.time() * 1000), list(experiment.points())
    known = {name: stored.steps(name) for name in {name for name, _, _ in metrics}}
    points = [(name, value, step, now) for name, value, step in metrics if step not in known[name]]
    missing = {name: value for name, value in tags.items() if name not in stored.found_tags}
    if renamed:
        missing |= {"dvc_experiment": experiment.name, "mlflow.runName": experiment.run_name}
    sent = stored.files("models") | stored.files("reports")
    files = sorted(set(experiment.artifacts()) - sent)
    model = experiment.logs_model and str(MODEL) not in sent and not stored.registry.complete(experiment.error)
    params = stored.params(experiment.params())
    if not (params or points or missing or files or model) and stored.status == "FINISHED":
        return ""
    stored.points(points)
    stored.tags(missing)
    for path in files:
        with tempfile.TemporaryDirectory() as folder:
            stored.artifacts(experiment.fetch(path, Path(folder)), str(Path(path).parent))
    if model:
        register(stored, experiment)
    stored.end("FINISHED")
    if renamed:
        return f"{experiment.run_name}: renamed, was {stored.name}"
    return f"{stored.name}: {'completed' if found else 'sent'}"


def register(stored: StoredRun, experiment: Experiment) -> None:
    """Send the model, its data sets and its error to the registry."""
    data = experiment.card["data"]
    for split in CONTEXTS:
        stored.registry.data(data, split)
    with tempfile.TemporaryDirectory() as folder:
        weights, card = (experiment.fetch(str(path), Path(folder)) for path in (MODEL, CARD))
        stored.registry.log(weights, card, experiment.card)
    if experiment.error is not None:
        stored.registry.evaluated(experiment.error)


def run_of(store: Store, experiment: Experiment) -> StoredRun | None:
    """The run of this experiment and model; else one of its name and commit that was cut off before it had a model's hash."""
    model, commit = experiment.tags.get("model_sha256"), experiment.tags["git_commit"]
    same = store.runs({"dvc_experiment": experiment.name})
    matching = [run for run in same if run.found_tags.get("git_commit") == commit]
    if model is not None:
        cut_off = [run for run in matching if "model_sha256" not in run.found_tags and not experiment.in_workspace]
        matching = [run for run in same if run.found_tags.get("model_sha256") == model] + cut_off
    return next(iter(matching), None)


def run_before_renaming(store: Store, experiment: Experiment) -> StoredRun | None:
    """The run of this model, baseline and settings whose experiment DVC no longer has: only the name is another."""
    if "model_sha256" not in experiment.tags:
        return None
    same = store.runs({name: experiment.tags[name] for name in ("model_sha256", "git_commit")})
    others = [(run, run.found_tags.get("dvc_experiment", WORKSPACE)) for run in same]
    known = {(name, baseline) for _, name, baseline in refs()}
    gone = [run for run, name in others if name != WORKSPACE and (name, experiment.baseline) not in known]
    return next((run for run in gone if run.agrees(experiment.params())), None)


if __name__ == "__main__":
    run(main)
