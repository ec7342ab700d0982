"""Bring MLflow level with DVC: send runs that it missed, and experiments whose training DVC had no need to run."""

import os
import tempfile
import time
from pathlib import Path

from alexnet.errors import UserError
from alexnet.tracking import Entry, Store
from stages.command import main_repository, run
from stages.experiments import Experiment, entry_of, experiments
from stages.provenance import WORKSPACE


def main() -> None:
    """Send what MLflow lacks of each trained model, one line for each; a second time there is nothing to send."""
    # Nobody computes meanwhile, and a server that hands a model on to other storage answers late.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "120")
    store, level = Store(main_repository()), True
    try:
        for line in (send(store, experiment) for experiment in experiments() if experiment.trained):
            if line:
                print(line, flush=True)
                level = False
    except store.failure as error:
        raise UserError(f"{store.complaint(error)}; mend that, then run this again") from None
    if level:
        print("MLflow has every run")


def send(store: Store, experiment: Experiment) -> str:
    """Send what the run of ``experiment`` lacks and say what was done; empty where it lacks nothing."""
    found, tags = entry_of(store, experiment), experiment.tags
    # After `dvc exp run` and `dvc exp apply` the workspace holds an experiment's model, whose run is enough.
    if not found and experiment.name == WORKSPACE and Entry.find(store, {"model_sha256": tags["model_sha256"]}):
        return ""
    entry = found or Entry.create(store, experiment.run_name, tags)
    now, curves = int(time.time() * 1000), list(experiment.points())
    known = {name: entry.steps(name) for name in {name for name, _, _ in curves}}
    points = [(name, value, step, now) for name, value, step in curves if step not in known[name]]
    missing = {name: value for name, value in tags.items() if name not in entry.seen_tags}
    files = sorted(set(experiment.artifacts()) - entry.files("models") - entry.files("reports"))
    params = entry.params(experiment.params())
    if not (params or points or missing or files) and entry.status == "FINISHED":
        return ""
    entry.points(points)
    entry.tags(missing)
    for path in files:
        with tempfile.TemporaryDirectory() as folder:
            entry.artifacts(experiment.fetch(path, Path(folder)), str(Path(path).parent))
    entry.end("FINISHED")
    return f"{entry.name}: {'completed' if found else 'sent'}"


if __name__ == "__main__":
    run(main)
