"""Work spread over processes that may crash, hang or run out of memory: it costs the guilty item and nothing else."""

import multiprocessing
import os
import resource
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import TimeoutError as Overdue
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from pebble import ProcessExpired, ProcessFuture, ProcessPool
from tqdm import tqdm

CHUNK = 32
"""Items that travel to a worker together."""
AHEAD = 4
"""Chunks a worker that are under way at once: what keeps the memory from growing with the number of items."""
TIMEOUT = 60.0
"""Seconds that a chunk may take, and, where it fails, each of its items alone."""
MEMORY = 4 << 30
"""Bytes of address space of a worker: enough for an image of 178 million pixels."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Lost:
    """In place of a result: the worker died of this item."""

    reason: str


def in_chunks(
    function: Callable[[Sequence[Item]], Result],
    items: Sequence[Item],
    *,
    workers: int | None,
    title: str,
    timeout: float = TIMEOUT,
) -> Iterator[tuple[Sequence[Item], Result | Lost]]:
    """Apply ``function`` to chunks of ``items`` in ``workers`` processes (None: one a core); yields (chunk, result) in order.

    A chunk whose worker dies or takes more than ``timeout`` seconds is tried again item by item; an item that fails alone comes
    back as (chunk of one, ``Lost``). Errors that ``function`` raises end the walk and are raised here. Results may not depend on
    how the items are chunked. ``title`` names the progress bar.
    """
    chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    workers = min(workers or len(os.sched_getaffinity(0)), max(len(chunks), 1))
    bar = tqdm(total=len(items), desc=title, unit=" images", disable=None, leave=False)
    with bar, _pool(workers) as pool:
        under_way: deque[tuple[Sequence[Item], ProcessFuture[Result]]] = deque()
        for chunk in chunks:
            under_way.append((chunk, pool.schedule(function, (chunk,), timeout=timeout)))
            if len(under_way) == AHEAD * workers:
                yield from _finish(pool, function, *under_way.popleft(), timeout)
                bar.update(CHUNK)
        while under_way:
            chunk, future = under_way.popleft()
            yield from _finish(pool, function, chunk, future, timeout)
            bar.update(len(chunk))


def _finish(
    pool: ProcessPool,
    function: Callable[[Sequence[Item]], Result],
    chunk: Sequence[Item],
    future: ProcessFuture[Result],
    timeout: float,
) -> Iterator[tuple[Sequence[Item], Result | Lost]]:
    try:
        yield chunk, future.result()
        return
    except (ProcessExpired, Overdue):
        alone = [
            (chunk[at : at + 1], pool.schedule(function, (chunk[at : at + 1],), timeout=timeout)) for at in range(len(chunk))
        ]
    for one, again in alone:
        try:
            yield one, again.result()
        except ProcessExpired:
            yield one, Lost("decoder crashed")
        except Overdue:
            yield one, Lost(f"decoder took more than {timeout:g} s")


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPool]:
    # A server that has the libraries loaded, and no threads, forks workers in milliseconds, also in place of dead ones.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["numpy", "PIL.Image", "simplejpeg"])
    pool = ProcessPool(workers, initializer=_prepare, context=context)
    before = os.environ.get("OPENBLAS_NUM_THREADS")
    # Read where numpy is loaded: in the server. A worker is one thread; its cores are the other workers'.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    try:
        yield pool
    finally:
        pool.stop()  # type: ignore[no-untyped-call]
        pool.join()
        os.environ.pop("OPENBLAS_NUM_THREADS")
        if before is not None:
            os.environ["OPENBLAS_NUM_THREADS"] = before


def _prepare() -> None:
    # Ctrl-C is for the parent, which stops the workers; a crash leaves no core file.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
