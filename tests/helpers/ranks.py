"""Two processes that stay up as ranks 0 and 1 of a gloo group, and do what tests ask of them."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from alexnet.models.numerics import prepare_process
from alexnet.pipeline.distributed import Ranks, use_loopback


class Pair:
    """Call a function of a test module on both ranks: ``pair(function, arguments)`` gives both results, in rank order."""

    def __init__(self, folder: Path) -> None:
        context = mp.get_context("spawn")
        self.asked = [context.Queue() for _ in range(2)]
        self.answered = [context.Queue() for _ in range(2)]
        self.processes = [
            context.Process(target=serve, args=(rank, str(folder / "store"), self.asked[rank], self.answered[rank]), daemon=True)
            for rank in range(2)
        ]
        for process in self.processes:
            process.start()

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        for queue in self.asked:
            queue.put((function, arguments))
        answers = [queue.get(timeout=240) for queue in self.answered]
        failed = [f"rank {rank}: {answer}" for rank, (done, answer) in enumerate(answers) if not done]
        assert not failed, "\n".join(failed)
        return [answer for _, answer in answers]

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.join()


def serve(rank: int, store: str, asked: Any, answered: Any) -> None:
    prepare_process(threads=1)
    use_loopback()
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    ranks = Ranks(rank, 2, torch.device("cpu"))
    while True:
        function, arguments = asked.get()
        try:
            answered.put((True, function(ranks, *arguments)))
        except Exception:
            answered.put((False, traceback.format_exc()))
