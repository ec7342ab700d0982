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
from safetensors.torch import load, save
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
        write_json(state_file(folder), content | {"sha256": _sha256(content)})

    @classmethod
    def read(cls, folder: Path) -> "Snapshot":
        """Raises ``Damaged``."""
        try:
            return cls.parsed(state_file(folder).read_text(encoding="utf-8"))
        except OSError as error:
            raise Damaged(f"{STATE}: {error.strerror or error}") from None
        except ValueError:  # not UTF-8
            raise Damaged(f"{STATE} is not as it was written") from None

    @classmethod
    def parsed(cls, text: str) -> "Snapshot":
        """From the text of ``state.json``. Raises ``Damaged``."""
        try:
            content = json.loads(text)
            if content.pop("sha256") != _sha256(content):
                raise Damaged(f"{STATE} is not as it was written")
            found = content["state"]
            history = tuple(Epoch(**row) for row in found["history"])
            state = State(found["epoch"], found["steps"], StepStats(**found["sums"]), history)
            return cls(content["token"], content["epochs"], content["rate"], tuple(content["hashes"]), state)
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


def content_of(tensors: Mapping[str, Tensor]) -> tuple[bytes, str]:
    """A rank's file, and the hash of it for ``Snapshot.hashes``."""
    content = save(dict(tensors))
    return content, sha256(content).hexdigest()[:DIGITS]


def write_rank(folder: Path, rank: int, content: bytes) -> None:
    """Write a rank's file. Raises ``OSError``."""
    write_bytes(rank_file(folder, rank), content)


def verify(folder: Path, snapshot: Snapshot) -> None:
    """Raises ``Damaged`` if a rank's file is not as it was written."""
    for rank, written in enumerate(snapshot.hashes):
        path = rank_file(folder, rank)
        try:
            found = sha256_of(path)[:DIGITS]
        except OSError as error:
            raise Damaged(f"{path.name}: {error.strerror or error}") from None
        if found != written:
            raise Damaged(f"{path.name} is not as it was written")


def read_tensors(folder: Path, snapshot: Snapshot, parameters: Collection[str]) -> dict[str, Tensor]:
    """What all ranks saved of these parameters. Raises ``Damaged``."""
    found: dict[str, Tensor] = {}
    try:
        for rank in range(len(snapshot.hashes)):
            with safe_open(rank_file(folder, rank), "pt") as file:
                found |= {key: file.get_tensor(key) for key in file.keys() if key.partition("/")[2] in parameters}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise Damaged(str(error).splitlines()[0]) from None
    return found


def tensors_of(content: bytes, parameters: Collection[str]) -> dict[str, Tensor]:
    """What a rank's file has of these parameters."""
    return {key: value for key, value in load(content).items() if key.partition("/")[2] in parameters}


def failure(call: Callable[[], None]) -> int:
    """The system's error number of ``call``; 0 if nothing went wrong."""
    try:
        call()
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def rank_file(folder: Path, rank: int) -> Path:
    """What a rank had."""
    return folder / f"rank-{rank}.safetensors"


def state_file(folder: Path) -> Path:
    """What ``Snapshot`` describes."""
    return folder / STATE


def _sha256(content: Any) -> str:
    # As text, in which a float64 is exact, and a tuple a list.
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
