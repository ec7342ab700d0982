"""Send to MLflow what it lacks of a model that was trained already."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from alexnet.tracking.client import Store, StoredRun


class TrainedModel(Protocol):
    """A trained model with its settings, curves and files, wherever they are kept."""

    name: str
    """The experiment's."""
    run_name: str
    in_workspace: bool
    """Whether its files are those of the workspace, outside any experiment."""

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags of its run; ``model_sha256`` only if the model's card can be read."""

    def params(self) -> Mapping[str, Any]:
        """The settings by dotted names."""

    def points(self) -> Iterator[tuple[str, float, int]]:
        """Name, value and step of the metrics."""

    def artifacts(self) -> Iterator[str]:
        """The paths of its files."""

    def fetch(self, path: str, folder: Path) -> Path:
        """Copy a file into ``folder``."""


def complete(store: Store, model: TrainedModel) -> str:
    """Send what the run of ``model`` lacks. Returns what was done in words, empty if nothing was missing."""
    found, tags = run_of(store, model), model.tags
    # After `dvc exp run` and `dvc exp apply` the workspace holds an experiment's model, whose run is enough.
    if not found and model.in_workspace and store.runs({"model_sha256": tags["model_sha256"]}):
        return ""
    run = found or store.create(model.run_name, tags)
    now, metrics = int(time.time() * 1000), list(model.points())
    known = {name: run.steps(name) for name in {name for name, _, _ in metrics}}
    points = [(name, value, step, now) for name, value, step in metrics if step not in known[name]]
    missing = {name: value for name, value in tags.items() if name not in run.found_tags}
    files = sorted(set(model.artifacts()) - run.files("models") - run.files("reports"))
    params = run.params(model.params())
    if not (params or points or missing or files) and run.status == "FINISHED":
        return ""
    run.points(points)
    run.tags(missing)
    for path in files:
        with tempfile.TemporaryDirectory() as folder:
            run.artifacts(model.fetch(path, Path(folder)), str(Path(path).parent))
    run.end("FINISHED")
    return f"{run.name}: {'completed' if found else 'sent'}"


def run_of(store: Store, model: TrainedModel) -> StoredRun | None:
    """The run of this experiment and model; else one of its name and commit that was cut off before it had a model's hash."""
    sha256, commit = model.tags.get("model_sha256"), model.tags["git_commit"]
    same = store.runs({"dvc_experiment": model.name})
    matching = [run for run in same if run.found_tags.get("git_commit") == commit]
    if sha256 is not None:
        cut_off = [run for run in matching if "model_sha256" not in run.found_tags and not model.in_workspace]
        matching = [run for run in same if run.found_tags.get("model_sha256") == sha256] + cut_off
    return next(iter(matching), None)
