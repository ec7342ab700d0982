"""The states of a training on disk, from which it resumes after a stop, to the bit as if it had not stopped.

``folders`` names a training's folder, which has its last two states (``snapshot``). Tensors have their names in the whole net:
``weights/conv1.weight``, ``best/conv1.weight`` (the best epoch's, if those are kept), and the optimiser's state under torch's
names, as ``momentum_buffer/conv1.weight``. So any number of ranks can resume with them.
"""

import os
import shutil
import sys
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from shlex import quote
from types import TracebackType
from typing import Self

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from alexnet.files.finished import finished, forget_marks, mark_finished, stored
from alexnet.pipeline.distributed import Ranks
from alexnet.train.copies import collect, from_lead, seen_by, snapshot_of_lead
from alexnet.train.folders import LOCK, adopt, epochs_of, of_other_code, prune
from alexnet.train.optimizers import rate_of, restore_rate
from alexnet.train.snapshot import (
    DIGITS,
    Damaged,
    Snapshot,
    content_of,
    failure,
    name_of,
    read_tensors,
    snapshots,
    verify,
    write_rank,
)
from alexnet.train.state import State
from alexnet.train.stopping import withdraw

BRIEFLY = 2.0
"""Seconds to wait for a lock that a command or another training holds for a moment."""
KEPT = 2
"""States of a running training, the newest; if one is damaged, the one before it is used."""

Parameters = Mapping[str, nn.Parameter]


class Checkpoint:
    """One training's folder. All ranks call its methods together; the lead prints messages and tidies up."""

    def __init__(self, folder: Path | None, minutes: float, ranks: Ranks) -> None:
        """``folder``: of this training alone; None to save nothing. ``minutes``: between two checkpoints.

        Two equal trainings at a time would overwrite each other's, so the second saves nothing and says so.
        """
        self.ranks, self.seconds = ranks, 60 * minutes
        self._held: FileLock | None = None
        self.folder = folder if folder and self._lock(folder) else None
        self.seen = seen_by(ranks, self.folder) if self.folder else [True] * ranks.count
        """Which ranks see the lead's folder: all, but for those of other nodes without it, whose part the lead writes."""
        if self.folder and not self.seen[ranks.rank]:
            with suppress(OSError):
                withdraw(self.folder)  # of a training whose lead was here
        self.token = self._known_token() or uuid.uuid4().hex
        """Identifies the training across stops, from its first process to its last."""
        self._saved = time.monotonic()
        self._names: list[str] = []
        """The states to keep."""
        self._warned = False

    def due(self) -> bool:
        """Whether it is time to save."""
        return self.folder is not None and time.monotonic() - self._saved >= self.seconds

    def load(self, parameters: Parameters, optimizer: Optimizer) -> tuple[State, dict[str, Tensor]]:
        """Set this rank's ``parameters`` and their optimiser to where the training stood.

        Returns that, and the weights of the best epoch; ``State()`` and none if nothing has been saved.
        """
        names = from_lead(self.ranks, "\n".join(path.name for path in self._usable()).encode()).decode().splitlines()
        found = [self.folder / name for name in names] if self.folder else []
        if not found:
            self._mention_other_code()
        for number, folder in enumerate(found, 1):
            why = ""
            try:
                if self.seen[self.ranks.rank]:
                    snapshot = Snapshot.read(folder)
                    verify(folder, snapshot)
                    tensors = read_tensors(folder, snapshot, parameters)
            except Damaged as damage:
                why = f" ({damage})"
            if not any(self.ranks.gather(bool(why))):
                if not all(self.seen):
                    snapshot, tensors = snapshot_of_lead(self.ranks, folder, parameters)
                self._names = [path.name for path in reversed(found[number - 1 :])]
                self._say(self._resuming(snapshot))
                restore_rate(optimizer, snapshot.rate)
                return snapshot.state, _put(tensors, parameters, optimizer)
            instead = "the one before it is used" if number < len(found) else "the training starts again"
            self._say(f"warning: the checkpoint in {folder} is damaged{why}, so {instead}")
        return State(), {}

    def save(self, state: State, parameters: Parameters, optimizer: Optimizer, best: Mapping[str, Tensor]) -> bool:
        """Write what ``load`` reads. A failure is reported, once; returns whether there was none."""
        if self.folder is None:
            return False
        folder, own = self.folder / name_of(state), self.ranks.rank
        content, digest, failed = b"", "0", 0
        if own < self.ranks.stages:  # the other replicas have the same
            content, digest = content_of(_tensors(parameters, optimizer, best))
            if self.seen[own]:
                failed = failure(lambda: write_rank(folder, own, content))
        failures = self.ranks.gather(collect(self.ranks, self.seen, folder, content) or failed)
        written = self.ranks.gather(int(digest, 16))[: self.ranks.stages]
        hashes = tuple(f"{int(value):0{DIGITS}x}" for value in written)
        snapshot = Snapshot(self.token, epochs_of(self.folder), rate_of(optimizer), hashes, state)
        if self.ranks.lead and not any(failures):
            failures = [failure(lambda: snapshot.write(folder))]
        failed = int(max(self.ranks.gather(max(failures))))
        if not failed:
            self._names = [name for name in self._names if name != folder.name] + [folder.name]
        self._tidy()
        if failed and not self._warned:
            self._warned = True
            self._say(f"warning: no checkpoint could be written in {self.folder} ({os.strerror(failed)}); the training goes on")
        self._saved = time.monotonic()
        return not failed

    def finish(self, model_sha256: str) -> None:
        """The training is over, and its model was written: only the last state is kept."""
        if self.folder and self.ranks.lead:
            self._names = self._names[-1:]
            self._tidy()
            if self._names:
                with suppress(OSError):
                    mark_finished(self.folder, model_sha256)
                    prune(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Unlock the folder; remove it if nothing was saved."""
        if self.folder and self.ranks.lead and not snapshots(self.folder):
            shutil.rmtree(self.folder, ignore_errors=True)
        if self._held:
            self._held.release()

    def _usable(self) -> list[Path]:
        """The states from which this training may go on, the furthest first: none if it has finished and DVC has its model."""
        return [] if self.folder is None or stored(self.folder) else snapshots(self.folder)

    def _known_token(self) -> str:
        for folder in self._usable():
            with suppress(Damaged):
                snapshot = Snapshot.read(folder)
                # Another number of epochs is another training to MLflow.
                return snapshot.token if self.folder and snapshot.epochs == epochs_of(self.folder) else ""
        return ""

    def _resuming(self, snapshot: Snapshot) -> str:
        state, epochs = snapshot.state, epochs_of(self.folder) if self.folder else 0
        where = f"step {state.steps} of epoch {state.epoch}" if state.steps else f"epoch {state.epoch - 1}"
        if snapshot.epochs != epochs:
            return f"going on from the same training with epochs: {snapshot.epochs}, after {where}"
        if state.epoch > epochs or (self.folder and finished(self.folder)):
            return "this training was finished already, and its last state is used"
        return f"resuming this training where it was stopped, after {where}"

    def _mention_other_code(self) -> None:
        """A line if there is a checkpoint of the same training by other code or another kind of GPU, and how to use it."""
        if self.folder and not stored(self.folder) and (other := of_other_code(self.folder)):
            here = quote(str(self.folder))
            self._say(
                f"note: {other} has a checkpoint of this training by other code or on another GPU, so it starts from the "
                "beginning; to go on from it all the same, press Ctrl-C, run "
                f"`rm -rf {here} && mv {quote(str(other))} {here}` and start again"
            )

    def _lock(self, folder: Path) -> bool:
        """Whether the folder is this training's, until its process ends; with a state of the same training in it."""
        trouble = ""
        if self.ranks.lead:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._held = FileLock(folder / LOCK)
                self._held.acquire(timeout=BRIEFLY)
                withdraw(folder)
                adopt(folder)
            except Timeout:
                trouble = "the same training is running already"
            except (OSError, NotImplementedError) as error:
                trouble = f"{folder}: {getattr(error, 'strerror', None) or error}"
        if trouble:
            self._say(f"this training saves no checkpoints: {trouble}")
        return bool(self.ranks.gather(not trouble)[0])

    def _tidy(self) -> None:
        """Remove all but the newest states of this training, marks of an earlier end, and what ``prune`` does."""
        if self.folder is None or not self.ranks.lead:
            return
        with suppress(OSError):
            self._names = self._names[-KEPT:]
            if self._names:
                forget_marks(self.folder)
            for old in self.folder.iterdir():
                if old.is_dir() and old.name not in self._names:
                    shutil.rmtree(old, ignore_errors=True)
            prune(self.folder)

    def _say(self, line: str) -> None:
        if self.ranks.lead:
            tqdm.write(line, file=sys.stderr)


def _tensors(parameters: Parameters, optimizer: Optimizer, best: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = {f"best/{name}": value for name, value in best.items()}
    for name, parameter in parameters.items():
        found[f"weights/{name}"] = parameter.detach()
        found |= {f"{kind}/{name}": value for kind, value in optimizer.state.get(parameter, {}).items()}
    return {key: value.cpu().contiguous() for key, value in found.items()}


@torch.no_grad()
def _put(tensors: Mapping[str, Tensor], parameters: Parameters, optimizer: Optimizer) -> dict[str, Tensor]:
    """The reverse of ``_tensors``; returns the best epoch's weights."""
    best = {}
    for key, tensor in tensors.items():
        kind, _, name = key.partition("/")
        parameter = parameters[name]
        if kind == "weights":
            parameter.copy_(tensor)
            continue
        like = parameter if tensor.shape == parameter.shape else tensor
        value = torch.empty_like(like, device=parameter.device).copy_(tensor)
        if kind == "best":
            best[name] = value
        else:
            optimizer.state[parameter][kind] = value
    return best
