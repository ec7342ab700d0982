"""The ranks of a pipeline as processes that stay up and do, all at once, what they are asked."""

import os
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from alexnet.launcher import LAUNCHER
from alexnet.models.numerics import prepare_process
from alexnet.pipeline.distributed import join


class RankProcesses:
    """Processes that have joined each other as ranks."""

    def __init__(self, count: int, threads: int) -> None:
        """``threads``: of each rank."""
        context = get_context("spawn")
        self._store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        self.wires, self.processes = [], []
        for rank in range(count):
            wire, theirs = context.Pipe()
            self.wires.append(wire)
            arguments = (theirs, rank, count, self._store.port, threads)
            self.processes.append(context.Process(target=_serve, args=arguments, daemon=True))
            self.processes[-1].start()
            theirs.close()

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call a module's function on every rank with its ``Ranks`` and further arguments; gives the results in rank order."""
        for wire in self.wires:
            wire.send((function, arguments))
        try:
            return [wire.recv() for wire in self.wires]
        except EOFError:
            raise RuntimeError("a rank ended before it answered; what it said stands above") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for wire in self.wires:
            wire.close()
        for process in self.processes:
            process.join()


def _serve(wire: Connection, rank: int, count: int, port: int, threads: int) -> None:
    place = {LAUNCHER: os.getppid(), "RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    place |= {"TORCHELASTIC_USE_AGENT_STORE": True}  # the store is there already, as torchrun's is
    os.environ |= {name: str(value) for name, value in place.items()}
    prepare_process(threads)
    with join(count, patience=10) as ranks, suppress(KeyboardInterrupt, EOFError):
        while True:
            function, arguments = wire.recv()
            wire.send(function(ranks, *arguments))
