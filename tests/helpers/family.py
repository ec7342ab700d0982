"""torchrun and the ranks that it started, and how they end."""

from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
from helpers.stage_process import rest, start, wait_for

PATIENCE = 0.25
"""Minutes, in which a rank of a loaded machine is also ready where the other is."""
SLOW_END = 60
"""Seconds that a process of a loaded machine may take to end: the lead may be loading MLflow."""


class Family:
    """torchrun and two ranks that train, and what becomes of them."""

    def __init__(self, folder: Path, arguments: list[str], words: str, **changes: Any) -> None:
        """Returns when they have said ``words``."""
        self.torchrun = start(folder, *arguments, **changes)
        wait_for(self.torchrun, words)
        self.processes = psutil.Process(self.torchrun.pid).children(recursive=True)

    @property
    def ranks(self) -> list[psutil.Process]:
        """Those of a training that runs, the first first."""
        ranks = psutil.Process(self.torchrun.pid).children()
        return sorted(ranks, key=lambda rank: int(rank.environ()["RANK"]))

    def end(self, within: float = SLOW_END + 60 * PATIENCE) -> tuple[int, str]:
        """The exit status and what was said, after all processes have ended: torchrun ``within`` seconds."""
        try:
            said = rest(self.torchrun, within)
            _, alive = psutil.wait_procs(self.processes, timeout=10)
            assert not alive
            return self.torchrun.returncode, said
        finally:
            for process in self.processes:
                if process.is_running():
                    process.kill()
