"""One training of a row, run plainly in a folder of its own: train, then evaluate, as processes that somebody else waits for."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML

from alexnet.files.whole import read_json, write_json
from alexnet.signals import signal_at_parents_end
from workflow.results.rows import Run

ROOT = Path(__file__).parents[2]
SHARED = ("eigenbasis.json", "mean.npy", "shards")
"""Of the data that trainings share."""

State = Literal["running", "done", "failed", "stopped"]


def stage_environment() -> dict[str, str]:
    """That of a stage which runs in another folder than the repository's, outside DVC."""
    search = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(search), "DVC_ROOT": ""}


@dataclass
class Job:
    """A training in ``folder``, which may have been stopped there before."""

    run: Run
    folder: Path
    settings: dict[str, Any]
    steps: list[list[str]] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    seconds: float = 0.0
    """Of training, in earlier processes too."""
    begun: float = 0.0
    epochs: list[float] = field(default_factory=list)
    """When each epoch of this process was seen to end."""
    asked: bool = False
    """Whether it was asked to stop."""
    known_epochs: int = 0
    """That earlier processes ran."""

    def start(self, data: Path) -> None:
        """Set up the folder, with links to the shared ``data``, and begin."""
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        for name in SHARED:
            link = self.folder / "data" / name
            if not link.is_symlink():
                link.symlink_to((data / name).resolve())
        YAML().dump(self.settings, self.folder / "params.yaml")
        timing = self._timing()
        self.seconds = timing.get("seconds", 0.0)
        self.known_epochs = self._rows()
        ranks = self.settings["pipeline"]["ranks"] * self.settings["pipeline"]["replicas"]
        launcher = ["workflow.torchrun", "--nproc-per-node", str(ranks), "-m"] if ranks > 1 else []
        self.steps = [["stages.evaluate"]] if timing.get("trained") else [[*launcher, "stages.train"], ["stages.evaluate"]]
        self._next()

    def poll(self) -> State:
        """Where it stands; goes on from training to evaluation."""
        assert self.process is not None
        self._watch()
        status = self.process.poll()
        if status is None:
            return "running"
        training = len(self.steps) == 1 and not self._timing().get("trained")
        if training:
            self._note(trained=status == 0)
            self.seconds += time.monotonic() - self.begun
        if status:
            return "stopped" if self.asked else "failed"
        if not self.steps:
            shutil.rmtree(self.folder / ".checkpoints", ignore_errors=True)
            return "done"
        self._next()
        return "running"

    def stop(self) -> None:
        """Ask it to save and stop; the next start goes on from there."""
        if self.process and self.process.poll() is None and not self.asked:
            self.process.send_signal(signal.SIGINT)
            self.asked = True

    def reason(self) -> str:
        """The last line that it wrote."""
        lines = (self.folder / "log.txt").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def speed(self) -> float:
        """Images a second while it trained, validation included; 0 if it is not known yet."""
        measured = self._measured(self.seconds) if len(self.epochs) > 1 else self._timing().get("images_per_second", 0.0)
        return float(measured)

    def _next(self) -> None:
        environment = stage_environment() | {"ALEXNET_TRACKING": "off"}
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.steps.pop(0)],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=partial(signal_at_parents_end, signal.SIGTERM),
            )
        self.begun = time.monotonic()

    def _watch(self) -> None:
        if self.steps and self._rows() > self.known_epochs + len(self.epochs):  # while it trains
            self.epochs.append(time.monotonic())
            self._note(trained=False)  # for the one that goes on, should this process be killed

    def _rows(self) -> int:
        path = self.folder / "reports/train.csv"
        return max(0, path.read_bytes().count(b"\n") - 1) if path.exists() else 0

    def _timing(self) -> dict[str, Any]:
        path = self.folder / "timing.json"
        return dict(read_json(path)) if path.exists() else {}

    def _note(self, trained: bool) -> None:
        seconds = self.seconds + time.monotonic() - self.begun
        facts = {"trained": trained, "seconds": round(seconds, 1), "images_per_second": self._measured(seconds)}
        write_json(self.folder / "timing.json", facts)

    def _measured(self, seconds: float) -> float:
        """Images a second between the ends of epochs; of the whole process if there is but one."""
        shards = json.loads((self.folder / "data/shards/meta.json").read_text())
        images: int = shards["splits"]["train"]["images"]
        if len(self.epochs) > 1:
            speed = images * (len(self.epochs) - 1) / (self.epochs[-1] - self.epochs[0])
        else:
            speed = images * len(self.epochs) / max(seconds, 1e-9)
        return round(speed, 1)
