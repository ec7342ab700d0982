"""The trained models that DVC knows: its experiments and the workspace, with their settings, curves and results."""

import csv
import json
from collections.abc import Iterator
from functools import cached_property
from hashlib import md5
from pathlib import Path
from typing import Any, cast

from dvc.api import DVCFileSystem

from alexnet.config.section import flat
from alexnet.tracking.client import named_results
from alexnet.tracking.registry import DATA
from stages import paths
from stages.command import yaml
from stages.provenance import WORKSPACE, git, run_name, tags


class Experiment:
    """A trained model: the commit of an experiment, or the workspace."""

    def __init__(self, name: str, run_name: str, commit: str | None, baseline: str) -> None:
        """``commit`` has its files, None for the workspace; ``baseline`` is the commit that it started from."""
        self.name, self.run_name, self.in_workspace = name, run_name, commit is None
        self.baseline = baseline
        self._files = DVCFileSystem(rev=commit)

    @property
    def trained(self) -> bool:
        """Whether it has been trained, to the end: an interrupted training leaves its own curves beside the last model's card."""
        return self._recorded("train", paths.CURVES) and (bool(self.card) or not self.in_workspace)

    @cached_property
    def tags(self) -> dict[str, str]:
        """The tags of its run; ``model_sha256`` only if DVC's cache has the model's card."""
        card = self.card
        data = card.get("data", {})
        found = {"model_sha256": card["sha256"], "data_source": data["source"], DATA: data["sha256"]["test"]} if card else {}
        return tags(self.baseline, self.name) | found

    def params(self) -> dict[str, Any]:
        """The settings by dotted names, as the stages ran with them or else as in params.yaml, and the data's lineage."""
        settings = flat(yaml(self._read(paths.PARAMS)))
        for stage in self._lock.values():
            settings |= flat(stage.get("params", {}).get(str(paths.PARAMS), {}))
        return settings | flat({"lineage": self.card.get("data", {})})

    def points(self) -> Iterator[tuple[str, float, int]]:
        """Name, value and step of the curves and, if this very model was evaluated, of its errors."""
        for row in csv.DictReader(self._read(paths.CURVES).splitlines()):
            epoch = int(row.pop("epoch"))
            yield from ((name, float(value), epoch) for name, value in row.items())
        yield from ((name, value, 0) for name, value in self._results.items())

    @property
    def error(self) -> float | None:
        """The top-1 error of the ten crops, if this very model was evaluated."""
        return self._results.get("ten_crop_top1_error")

    @property
    def logs_model(self) -> bool:
        """Whether MLflow shall have the model, and it is available."""
        wanted = flat(yaml(self._read(paths.PARAMS))).get("machine.log_model", True)
        return bool(wanted and self.card and self._available(paths.MODEL))

    def artifacts(self) -> Iterator[str]:
        """The paths of the model's card and of the pages, if available."""
        if self.card:
            yield str(paths.CARD)
        if self._evaluated:
            yield from self._files.find(str(paths.CURVES.parent))

    def fetch(self, path: str, folder: Path) -> Path:
        """Copy a file into ``folder``."""
        copy = folder / Path(path).name
        self._files.get_file(path, str(copy))
        return copy

    @cached_property
    def _lock(self) -> dict[str, Any]:
        return cast(dict[str, Any], (yaml(self._read(Path("dvc.lock"))) or {}).get("stages", {}))

    @cached_property
    def card(self) -> dict[str, Any]:
        """The content of the model's card; empty if DVC's cache does not have it."""
        return cast(dict[str, Any], json.loads(self._read(paths.CARD) or "{}"))

    @property
    def _results(self) -> dict[str, float]:
        return named_results(json.loads(self._read(paths.METRICS))) if self._evaluated else {}

    @property
    def _evaluated(self) -> bool:
        """Whether the errors are this model's: after `dvc exp run train` they are an older one's."""
        made, tested = (self._hash(*side, paths.MODEL) for side in (("train", "outs"), ("evaluate", "deps")))
        return made is not None and made == tested and self._recorded("evaluate", paths.METRICS)

    def _recorded(self, stage: str, path: Path) -> bool:
        """Whether the file is there, as dvc.lock has it. DVC removes the outs of a stage that it runs."""
        return self._available(path) and md5(self._files.read_bytes(str(path))).hexdigest() == self._hash(stage, "outs", path)

    def _hash(self, stage: str, side: str, path: Path) -> str | None:
        items = self._lock.get(stage, {}).get(side, [])
        return next((item["md5"] for item in items if item["path"] == str(path)), None)

    def _available(self, path: Path) -> bool:
        try:
            with self._files.open(str(path)):
                return True
        except FileNotFoundError:
            return False

    def _read(self, path: Path) -> str:
        return str(self._files.read_text(str(path))) if self._available(path) else ""


def experiments() -> Iterator[Experiment]:
    """DVC's experiments, oldest first, whatever commit they start from, and the workspace.

    DVC keeps an experiment as a commit under ``refs/exps/<its baseline, cut after two digits>/<name>``, even if every stage was
    skipped; its uncached outs are in that commit.
    """
    for commit, name, baseline in refs():
        yield Experiment(name, name, commit, baseline)
    yield Experiment(WORKSPACE, run_name(), None, git("rev-parse", "HEAD"))


def refs() -> Iterator[tuple[str, str, str]]:
    """Commit, name and baseline of each of DVC's experiments, oldest first."""
    for line in git("for-each-ref", "--sort=committerdate", "--format=%(objectname) %(refname)", "refs/exps/??/*/*").splitlines():
        commit, ref = line.split(" ", 1)
        _, _, head, tail, name = ref.split("/", 4)
        yield commit, name, head + tail
