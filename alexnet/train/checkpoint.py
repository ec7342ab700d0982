"""The state of a training on disk, from which it resumes after a stop, to the bit as if it had not stopped.

    FOLDER/state.json                          where the training stood, and which folder has its tensors
    FOLDER/00002-000040/rank-0.safetensors     what rank 0 had after 40 steps of epoch 2

FOLDER is named after the training's fingerprint: what its numbers depend on, then the code. Tensors have their names in the
whole net: ``weights/conv1.weight``, ``best/conv1.weight`` (the best epoch's, if those are kept), and the optimiser's state under
torch's names, as ``momentum_buffer/conv1.weight``. So any number of ranks can resume with them.
"""

import errno
import json
import os
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from shlex import quote
from types import TracebackType
from typing import Any, Self

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from alexnet.files.whole import write_bytes, write_json
from alexnet.pipeline.distributed import Ranks
from alexnet.pipeline.engine import StepStats
from alexnet.train.state import Epoch, State

STATE = "state.json"
OTHERS = 2
"""Other stopped trainings whose checkpoints are kept, the newest; each takes two or three times the bytes of its weights."""

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
        self.token = self._read().get("token") or uuid.uuid4().hex
        """Identifies the training across stops, from its first process to its last."""
        self._saved = time.monotonic()
        self._warned = False

    def due(self) -> bool:
        """Whether it is time to save."""
        return self.folder is not None and time.monotonic() - self._saved >= self.seconds

    def load(self, parameters: Parameters, optimizer: Optimizer) -> tuple[State, dict[str, Tensor]]:
        """Set this rank's ``parameters`` and their optimiser to where the training stood.

        Returns that, and the weights of the best epoch; ``State()`` and none if nothing has been saved.
        """
        found = self._read()
        if not found:
            self._mention_other_code()
        try:
            state, rates = _state(found["state"]), found["rates"]
            tensors = self._tensors(found["folder"], found["ranks"], parameters)
        except (OSError, KeyError, TypeError, ValueError, SafetensorError):
            tensors = {}
        if not all(self.ranks.gather(bool(tensors))):
            if found:
                self._say(f"the checkpoint in {self.folder} is damaged, so the training starts again")
            return State(), {}
        self._say(f"resuming this training where it was stopped, after step {state.steps} of epoch {state.epoch}")
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        return state, _put(tensors, parameters, optimizer)

    def save(self, state: State, parameters: Parameters, optimizer: Optimizer, best: Mapping[str, Tensor]) -> None:
        """Write what ``load`` reads. A failure is reported, once, and the training goes on."""
        assert self.folder is not None
        name = f"{state.epoch:05d}-{state.steps:06d}"
        rates = [group["lr"] for group in optimizer.param_groups]
        content = {"token": self.token, "folder": name, "ranks": self.ranks.count, "rates": rates, "state": asdict(state)}
        tensors = save(_tensors(parameters, optimizer, best))
        failures = self.ranks.gather(_failure(partial(write_bytes, self._file(name, self.ranks.rank), tensors)))
        if self.ranks.lead:
            if not any(failures):
                failures = [_failure(partial(write_json, self.folder / STATE, content))]
            with suppress(OSError):
                self._tidy()
            if any(failures) and not self._warned:
                self._warned = True
                why = os.strerror(int(max(failures)))
                self._say(f"warning: no checkpoint could be written in {self.folder} ({why}); the training goes on")
        self._saved = time.monotonic()

    def clear(self) -> None:
        """Forget the training: it is over."""
        if self.folder and self.ranks.lead:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Unlock the folder; remove it if nothing was saved."""
        if self.folder and self.ranks.lead and not (self.folder / STATE).exists():
            self.clear()
        if self._held:
            self._held.release()

    def _mention_other_code(self) -> None:
        """A line if there is a checkpoint of the same settings and data by other code, and how to use it."""
        if self.folder is None:
            return
        recipe = self.folder.name.partition("-")[0]
        others = [path.parent for path in self.folder.parent.glob(f"{recipe}-*/{STATE}") if path.parent != self.folder]
        if others:
            other, here = min(others, key=_age), quote(str(self.folder))
            self._say(
                f"note: {other} has a checkpoint of this training by other code, so it starts from the beginning; to resume "
                f"from it with this code, press Ctrl-C, run `rm -rf {here} && mv {quote(str(other))} {here}` and start again"
            )

    def _lock(self, folder: Path) -> bool:
        """Whether the folder is this training's, until its process ends."""
        failure = ""
        if self.ranks.lead:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._held = FileLock(folder / "lock")
                self._held.acquire(timeout=0)
            except Timeout:
                failure = "the same training is running already"
            except (OSError, NotImplementedError) as error:
                failure = f"{folder}: {getattr(error, 'strerror', None) or error}"
        if failure:
            self._say(f"this training saves no checkpoints: {failure}")
        return bool(self.ranks.gather(not failure)[0])

    def _read(self) -> dict[str, Any]:
        if self.folder is None or not (path := self.folder / STATE).exists():
            return {}
        try:
            found: dict[str, Any] = json.loads(path.read_text())
        except ValueError:
            return {}
        return found

    def _file(self, name: str, rank: int) -> Path:
        assert self.folder is not None
        return self.folder / name / f"rank-{rank}.safetensors"

    def _tensors(self, name: str, ranks: int, parameters: Parameters) -> dict[str, Tensor]:
        """What the ranks saved of these parameters."""
        found: dict[str, Tensor] = {}
        for rank in range(ranks):
            with safe_open(self._file(name, rank), "pt") as file:
                found |= {key: file.get_tensor(key) for key in file.keys() if key.partition("/")[2] in parameters}  # noqa: SIM118
        return found

    def _tidy(self) -> None:
        """Remove what ``state.json`` does not name, and the oldest of other trainings that were stopped."""
        assert self.folder is not None
        named = self._read().get("folder")
        for old in self.folder.iterdir():
            if old.is_dir() and old.name != named:
                shutil.rmtree(old, ignore_errors=True)
        others = sorted((folder for folder in self.folder.parent.iterdir() if folder != self.folder), key=_age)
        for old in others[OTHERS:]:
            with suppress(Timeout, OSError), FileLock(old / "lock", timeout=0):
                shutil.rmtree(old, ignore_errors=True)

    def _say(self, line: str) -> None:
        if self.ranks.lead:
            tqdm.write(line, file=sys.stderr)


def _tensors(parameters: Parameters, optimizer: Optimizer, best: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = {f"best/{name}": value for name, value in best.items()}
    for name, parameter in parameters.items():
        found[f"weights/{name}"] = parameter.detach()
        found |= {f"{kind}/{name}": value for kind, value in optimizer.state[parameter].items()}
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


def _state(found: dict[str, Any]) -> State:
    history = tuple(Epoch(**row) for row in found["history"])
    return State(found["epoch"], found["steps"], StepStats(**found["sums"]), history)


def _failure(call: Callable[[], None]) -> int:
    """The system's error number; 0 if nothing went wrong."""
    try:
        call()
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def _age(folder: Path) -> float:
    """For sorting: the newest come first, those that have saved nothing last."""
    state = folder / STATE
    return -state.stat().st_mtime if state.exists() else 0.0
