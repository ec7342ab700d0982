"""The state of a training on disk, from which it goes on after a stop, to the bit as if it had not stopped.

    FOLDER/state.json                          where the training stood, and which folder has its tensors
    FOLDER/00002-000040/rank-0.safetensors     what rank 0 had after 40 steps of epoch 2

Tensors have their names in the whole net: ``weights/conv1.weight``, ``best/conv1.weight`` (the best epoch's, where those are
kept), and by torch's words what the optimiser knows, as ``momentum_buffer/conv1.weight``. So any ranks may go on with them.
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
from types import TracebackType
from typing import Any, Self

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from alexnet.files import write_bytes, write_json
from alexnet.parallel.runtime import Runtime
from alexnet.training.state import Epoch, State

STATE = "state.json"
OTHERS = 2
"""Stopped trainings that are kept beside this one, the newest; each takes two or three times the bytes of its weights."""

Parameters = Mapping[str, nn.Parameter]


class Checkpoint:
    """One recipe's folder. All ranks call its methods together; the first one speaks and tidies up."""

    def __init__(self, folder: Path | None, minutes: float, runtime: Runtime) -> None:
        """``folder``: of this recipe alone; None to save nothing. ``minutes``: from one saving to the next.

        Two trainings of one recipe at a time would write over each other, so the second saves nothing and says so.
        """
        self.runtime, self.seconds = runtime, 60 * minutes
        self._held: FileLock | None = None
        self.folder = folder if folder and self._lock(folder) else None
        self.token = self._read().get("token") or uuid.uuid4().hex
        """Names the training, from its first process to the one that ends it."""
        self._saved = time.monotonic()
        self._warned = False

    def due(self) -> bool:
        """Whether it is time to save."""
        return self.folder is not None and time.monotonic() - self._saved >= self.seconds

    def load(self, parameters: Parameters, optimizer: Optimizer) -> tuple[State, dict[str, Tensor]]:
        """Put this rank's ``parameters`` and their optimiser where the training stood.

        Gives that, and the weights of the best epoch; where nothing has been saved ``State()`` and none.
        """
        found = self._read()
        try:
            state, rates = _state(found["state"]), found["rates"]
            tensors = self._tensors(found["folder"], found["ranks"], parameters)
        except (OSError, KeyError, TypeError, ValueError, SafetensorError):
            tensors = {}
        if not all(self.runtime.gather(bool(tensors))):
            if found:
                self._say(f"the checkpoint in {self.folder} is damaged, so the training begins again")
            return State(), {}
        self._say(f"this training goes on where it was stopped, after step {state.steps} of epoch {state.epoch}")
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        return state, _put(tensors, parameters, optimizer)

    def save(self, state: State, parameters: Parameters, optimizer: Optimizer, best: Mapping[str, Tensor]) -> None:
        """Write what ``load`` reads. Where that fails it is told, once, and the training goes on."""
        assert self.folder is not None
        name = f"{state.epoch:05d}-{state.steps:06d}"
        rates = [group["lr"] for group in optimizer.param_groups]
        told = {"token": self.token, "folder": name, "ranks": self.runtime.ranks, "rates": rates, "state": asdict(state)}
        content = save(_tensors(parameters, optimizer, best))
        failures = self.runtime.gather(_failure(partial(write_bytes, self._file(name, self.runtime.rank), content)))
        if self.runtime.lead:
            if not any(failures):
                failures = [_failure(partial(write_json, self.folder / STATE, told))]
            with suppress(OSError):
                self._tidy()
            if any(failures) and not self._warned:
                self._warned = True
                why = os.strerror(int(max(failures)))
                self._say(f"warning: no checkpoint could be written in {self.folder} ({why}); the training goes on")
        self._saved = time.monotonic()

    def clear(self) -> None:
        """Forget the training: it is over."""
        if self.folder and self.runtime.lead:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Let another training have the folder; of one that saved nothing, none is left."""
        if self.folder and self.runtime.lead and not (self.folder / STATE).exists():
            self.clear()
        if self._held:
            self._held.release()

    def _lock(self, folder: Path) -> bool:
        """Whether the folder is this training's, until its process ends."""
        failure = ""
        if self.runtime.lead:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._held = FileLock(folder / "lock")
                self._held.acquire(timeout=0)
            except Timeout:
                failure = "another training of this recipe is running"
            except (OSError, NotImplementedError) as error:
                failure = f"{folder}: {getattr(error, 'strerror', None) or error}"
        if failure:
            self._say(f"this training saves no checkpoints: {failure}")
        return bool(self.runtime.gather(not failure)[0])

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
        if self.runtime.lead:
            tqdm.write(line, file=sys.stderr)


def _tensors(parameters: Parameters, optimizer: Optimizer, best: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = {f"best/{name}": value for name, value in best.items()}
    for name, parameter in parameters.items():
        found[f"weights/{name}"] = parameter.detach()
        found |= {f"{kind}/{name}": value for kind, value in optimizer.state[parameter].items()}
    return {key: value.cpu().contiguous() for key, value in found.items()}


@torch.no_grad()
def _put(tensors: Mapping[str, Tensor], parameters: Parameters, optimizer: Optimizer) -> dict[str, Tensor]:
    """The reverse of ``_tensors``; gives the best epoch's weights."""
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
    return State(**found | {"epochs": tuple(Epoch(**row) for row in found["epochs"])})


def _failure(call: Callable[[], None]) -> int:
    """The system's number of what went wrong; 0 where nothing did."""
    try:
        call()
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def _age(folder: Path) -> float:
    """For sorting: the newest come first, those that have saved nothing last."""
    state = folder / STATE
    return -state.stat().st_mtime if state.exists() else 0.0
