"""What the machines of a training must agree on: its settings, and that code, libraries and data are the same."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from alexnet.config.machine import Machine
from alexnet.errors import UserError
from alexnet.files.shard_index import META
from alexnet.train.fingerprint import libraries
from stages import paths

ROOT = Path(__file__).parents[1]
CODE = ("alexnet", "stages", "workflow")


@dataclass(frozen=True)
class Plan:
    """What the first node trains, on which all must agree."""

    nodes: int
    processes: int
    """On each node."""
    patience: float
    """Minutes."""
    settings: str
    """The text of params.yaml."""
    code: str
    libraries: dict[str, str]
    data: str

    @classmethod
    def here(cls, machine: Machine, processes: int) -> "Plan":
        """That of this machine, as the first."""
        facts = code(), libraries(), data()
        return cls(machine.nodes, processes, machine.patience, paths.PARAMS.read_text(encoding="utf-8"), *facts)

    @classmethod
    def agreed(cls, content: dict[str, Any]) -> "Plan":
        """The first's, from its fields. Raises ``UserError`` if this machine would compute something else."""
        if content["code"] != code():
            raise UserError("the code here is not that of the first node; check out the same commit there and here (`git pull`)")
        plan = cls(**content)
        for name, wanted in plan.libraries.items():
            if (installed := libraries()[name]) != wanted:
                raise UserError(f"{name} is {installed} here and {wanted} on the first node; install the same (requirements.txt)")
        if data() != plan.data:
            raise UserError(
                f"the images or their statistics in {paths.SHARDS.parent}/ are not those of the first node; bring its data here "
                "(`dvc pull`, or a folder that both share), then run this again"
            )
        return plan


def code() -> str:
    """A hash of the code, all of it: ranks of two versions may wait for each other without end."""
    digest = sha256()
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def data() -> str:
    """A hash of what a training reads; ``meta.json`` has those of the shards. A missing file is as an empty one."""
    files = (paths.SHARDS / META, paths.EIGENBASIS, paths.MEAN)
    return sha256(b"".join(sha256(path.read_bytes() if path.exists() else b"").digest() for path in files)).hexdigest()
