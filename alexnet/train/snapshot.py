"""One saved state of a training on disk, which is read only if every byte is as it was written.

00002-000040/rank-0.safetensors     what rank 0 had after 40 steps of epoch 2
00002-000040/state.json             written last: the rest, with hashes of all; a folder without it does not count
"""

import errno
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from alexnet.files.whole import sha256_of, write_bytes, write_json
from alexnet.pipeline.engine import StepStats
from alexnet.train.state import Epoch, State

STATE = "state.json"
DIGITS = 13
"""Hexadecimal digits of a SHA-256 that are kept of a rank's file: as many as a float64 holds exactly, by which ranks exchange
them."""


class Damaged(Exception):
    """A saved state that cannot be used; says why."""


@dataclass(frozen=True)
class Snapshot:
    """What ``state.json`` describes."""

    token: str
    """Identifies the training across stops, from its first process to its last."""
    epochs: int
    """That the training was to have."""
    rate: float
    """The learning rate of layers without a multiple."""
    hashes: tuple[str, ...]
    """Of each rank's file."""
    state: State

    def write(self, folder: Path) -> None:
        """Complete ``folder``. Raises ``OSError``."""
        content = asdict(self)
        write_json(folder / STATE, content | {"sha256": _sha256(content)})

    @classmethod
    def read(cls, folder: Path) -> "Snapshot":
        """Raises ``Damaged``."""
        try:
            content = json.loads((folder / STATE).read_text(encoding="utf-8"))
            if content.pop("sha256") != _sha256(content):
                raise Damaged(f"{STATE} is not as it was written")
            found = content["state"]
            history = tuple(Epoch(**row) for row in found["history"])
            state = State(found["epoch"], found["steps"], StepStats(**found["sums"]), history)
            return cls(content["token"], content["epochs"], content["rate"], tuple(content["hashes"]), state)
        except OSError as error:
            raise Damaged(f"{STATE}: {error.strerror or error}") from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Damaged(f"{STATE} is not as it was written ({type(error).__name__})") from None


def name_of(state: State) -> str:
    """The folder of a state; see ``position``."""
    return f"{state.epoch:05d}-{state.steps:06d}"


def position(folder: Path) -> tuple[int, int]:
    """Epoch and steps of a saved state, from its folder's name. Raises ``ValueError`` for other folders."""
    epoch, steps = folder.name.split("-")
    return int(epoch), int(steps)


def snapshots(folder: Path) -> list[Path]:
    """The complete states in a training's folder, the furthest first."""
    complete = [path.parent for path in folder.glob(f"*-*/{STATE}")]
    return sorted(complete, key=position, reverse=True)


def write_rank(folder: Path, rank: int, tensors: Mapping[str, Tensor]) -> str:
    """Write a rank's file and return the hash for ``Snapshot.hashes``. Raises ``OSError``."""
    content = save(dict(tensors))
    write_bytes(_file(folder, rank), content)
    return sha256(content).hexdigest()[:DIGITS]


def verify_rank(folder: Path, snapshot: Snapshot, rank: int) -> None:
    """Raises ``Damaged`` if a rank's file is not as it was written."""
    path = _file(folder, rank)
    try:
        found = sha256_of(path)[:DIGITS]
    except OSError as error:
        raise Damaged(f"{path.name}: {error.strerror or error}") from None
    if found != snapshot.hashes[rank]:
        raise Damaged(f"{path.name} is not as it was written")


def read_tensors(folder: Path, snapshot: Snapshot, parameters: Collection[str]) -> dict[str, Tensor]:
    """What all ranks saved of these parameters. Raises ``Damaged``."""
    found: dict[str, Tensor] = {}
    try:
        for rank in range(len(snapshot.hashes)):
            with safe_open(_file(folder, rank), "pt") as file:
                found |= {key: file.get_tensor(key) for key in file.keys() if key.partition("/")[2] in parameters}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise Damaged(str(error).splitlines()[0]) from None
    return found


def failure(call: Callable[[], None]) -> int:
    """The system's error number of ``call``; 0 if nothing went wrong."""
    try:
        call()
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def _file(folder: Path, rank: int) -> Path:
    return folder / f"rank-{rank}.safetensors"


def _sha256(content: Any) -> str:
    # As text, in which a float64 is exact, and a tuple a list.
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
