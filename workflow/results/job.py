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

from alexnet.files.shard_index import META
from alexnet.files.whole import read_json, write_json
from alexnet.signals import signal_at_parents_end
from alexnet.train.fingerprint import code_fingerprint
from stages.command import read_yaml
from stages.paths import CURVES, PARAMS
from workflow.results.rows import Run

ROOT = Path(__file__).parents[2]
SHARED = ("eigenbasis.json", "mean.npy", "shards")
"""Of the data that trainings share."""
TIMING = "timing.json"
"""What is known of a training until it has a record: whether it was trained, for how long and how fast."""

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
    data: Path
    """The prepared images, which trainings share."""
    steps: list[list[str]] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    state: State = "running"
    seconds: float = 0.0
    """Of training, in earlier processes too."""
    begun: float = 0.0
    epochs: list[float] = field(default_factory=list)
    """When each epoch of this process was seen to end."""
    asked: bool = False
    """Whether it was asked to stop."""
    known_epochs: int = 0
    """That earlier processes ran."""
    known_speed: float = 0.0
    """Images a second, in earlier processes."""

    def start(self) -> None:
        """Set up the folder and begin; what is there of other settings, data or code is removed."""
        if self.is_of_another():
            shutil.rmtree(self.folder)
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        for name in SHARED:
            if not (self.folder / "data" / name).is_symlink():
                (self.folder / "data" / name).symlink_to((self.data / name).resolve())
        YAML().dump(self.settings, self.folder / PARAMS)
        timing = self._timing() | {"code": code_fingerprint()}
        write_json(self.folder / TIMING, timing)
        self.seconds, self.known_speed = timing.get("seconds", 0.0), timing.get("images_per_second", 0.0)
        self.known_epochs = self.done()
        ranks = self.settings["pipeline"]["ranks"] * self.settings["pipeline"]["replicas"]
        launcher = ["workflow.torchrun", "--nproc-per-node", str(ranks), "-m"] if ranks > 1 else []
        self.steps = [["stages.evaluate"]] if timing.get("trained") else [[*launcher, "stages.train"], ["stages.evaluate"]]
        self._next()

    def done(self) -> int:
        """Epochs that it has trained, in earlier processes too."""
        path = self.folder / CURVES
        return max(0, path.read_bytes().count(b"\n") - 1) if path.exists() else 0

    def poll(self) -> State:
        """Where it stands; goes on from training to evaluation."""
        if self.state == "running":
            self.state = self._poll()
        return self.state

    def stop(self) -> None:
        """Ask it to save after the running step and stop; the next start goes on from there."""
        if self.process and self.process.poll() is None and not self.asked:
            self.process.terminate()
            self.asked = True

    def forget(self) -> None:
        """Remove what only a training without a record needs."""
        shutil.rmtree(self.folder / ".checkpoints", ignore_errors=True)
        (self.folder / TIMING).unlink(missing_ok=True)

    def reason(self) -> str:
        """Why it ended: the signal, or else the last line that it wrote."""
        status = self.process.returncode if self.process else 0
        if status == 0 and self.steps:
            return "trained, but not evaluated"
        if status is not None and status < 0:
            return f"ended by {signal.Signals(-status).name}"
        lines = (self.folder / "log.txt").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def speed(self) -> float:
        """Images a second between the ends of epochs, so validation included; of earlier processes or its one epoch otherwise.

        0 if it is not known yet.
        """
        images: int = json.loads((self.data / "shards" / META).read_text())["splits"]["train"]["images"]
        if len(self.epochs) > 1:
            return round(images * (len(self.epochs) - 1) / (self.epochs[-1] - self.epochs[0]), 1)
        if self.known_speed or not self.epochs:
            return self.known_speed
        return round(images / (self.epochs[0] - self.begun), 1)

    def is_of_another(self) -> bool:
        """Whether the folder has a training of other settings, but for the machine's, of other data or of other code."""
        if not (self.folder / PARAMS).exists():
            return False
        links = [(self.folder / "data" / name, self.data / name) for name in SHARED]
        moved = any(link.is_symlink() and link.resolve() != target.resolve() for link, target in links)
        changed = read_yaml(self.folder / PARAMS) | {"machine": {}} != self.settings | {"machine": {}}
        code = code_fingerprint()
        return moved or changed or self._timing().get("code", code) != code

    def _poll(self) -> State:
        assert self.process is not None
        self._watch()
        status = self.process.poll()
        if status is None:
            return "running"
        if len(self.steps) == 1 and not self._timing().get("trained"):
            self._note(trained=status == 0)
            self.seconds += time.monotonic() - self.begun
        if status:
            return "stopped" if self.asked else "failed"
        if not self.steps:
            return "done"
        self.known_speed = self.speed()
        self.epochs.clear()
        if self.asked:
            return "stopped"
        self._next()
        return "running"

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
        if self.steps and self.done() > self.known_epochs + len(self.epochs):  # while it trains
            self.epochs.append(time.monotonic())
            self._note(trained=False)  # for the one that goes on, should this process be killed

    def _timing(self) -> dict[str, Any]:
        path = self.folder / TIMING
        return dict(read_json(path, "remove it")) if path.exists() else {}

    def _note(self, trained: bool) -> None:
        seconds = self.seconds + time.monotonic() - self.begun
        known = {"trained": trained, "seconds": round(seconds, 1), "images_per_second": self.speed()}
        write_json(self.folder / TIMING, self._timing() | known)
