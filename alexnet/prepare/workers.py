"""Work in processes that may crash, hang or run out of memory, at the cost of one item."""

import ctypes
import os
import resource
import signal
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import TimeoutError as ChunkTimeout
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import RLock
from multiprocessing.util import get_temp_dir
from typing import Any, Generic, Protocol, TypeVar

from pebble import ProcessExpired, ProcessFuture, ProcessPool
from tqdm import tqdm

from alexnet.errors import UserError
from alexnet.signals import signals_held_back

CHUNK = 32
"""Items sent to a worker together."""
AHEAD = 4
"""Chunks per worker in progress at once, which keeps the memory from growing with the number of items."""
MEMORY = 4 << 30
"""Bytes of address space of a worker: enough for an image of 178 million pixels."""
KEPT = 128 << 20
"""Bytes that a worker keeps between images."""
LONGEST_TMPDIR = 107 - len("/pymp-12345678/listener-12345678")
"""Bytes of the path of the temporary folder; Linux takes 107 for a socket in it."""
SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")
"""Where the socket may be instead."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class WorkerFailure:
    """In place of a result: the worker died of this item."""

    reason: str


@dataclass(frozen=True)
class Limits:
    """Seconds that a chunk may take and, if it fails, each of its items alone."""

    computing: float = 60.0
    """Of CPU time; a large image takes a few."""
    waiting: float = 600.0
    """By the clock: what is late but has not computed waits for the disk, memory or other programs."""


LIMITS = Limits()
Done = tuple[Sequence[Item], Result | WorkerFailure]
"""A chunk and its result."""


@dataclass(frozen=True)
class Job(Generic[Item, Result]):
    """What is done with each chunk; picklable, for the workers."""

    function: Callable[[Sequence[Item]], Result]
    place: Callable[[Item], str]
    limits: Limits

    def start(self, pool: ProcessPool, chunk: Sequence[Item]) -> "ProcessFuture[Result]":
        """Have a process of ``pool`` do it."""
        return pool.schedule(_bounded, (self.function, chunk, self.limits.computing), timeout=self.limits.waiting)

    def finish(self, pool: ProcessPool, chunk: Sequence[Item], future: "ProcessFuture[Result]") -> "Iterator[Done[Item, Result]]":
        """Wait for ``start``'s result, and if its process died of one of the items, for each item's own."""
        try:
            yield chunk, future.result()
            alone = []
        except (ProcessExpired, ChunkTimeout):
            alone = [(chunk[at : at + 1], self.start(pool, chunk[at : at + 1])) for at in range(len(chunk))]
        for one, again in alone:
            try:
                yield one, again.result()
            except ProcessExpired as death:
                refuse_low_limit(self.place(one[0]))
                late = f"decoder computed for more than {self.limits.computing:g} s"
                yield one, WorkerFailure(late if death.exitcode == -signal.SIGVTALRM else "decoder crashed")
            except ChunkTimeout:
                raise UserError(
                    f"reading {self.place(one[0])} took more than {self.limits.waiting:g} s, most of it spent waiting; "
                    "check its disk and the free memory, then run this again"
                ) from None


class Team(Protocol):
    """Those who work: processes here, or a cluster's."""

    @property
    def size(self) -> int:
        """Chunks at work at once."""

    def start(self, job: Job[Item, Result], chunk: Sequence[Item]) -> Any:
        """Begin a chunk."""

    def finish(self, job: Job[Item, Result], chunk: Sequence[Item], started: Any) -> "Iterable[Done[Item, Result]]":
        """Wait for what ``start`` began."""


@dataclass(frozen=True)
class _Here:
    pool: ProcessPool
    size: int

    def start(self, job: Job[Item, Result], chunk: Sequence[Item]) -> Any:
        return job.start(self.pool, chunk)

    def finish(self, job: Job[Item, Result], chunk: Sequence[Item], started: Any) -> "Iterable[Done[Item, Result]]":
        return job.finish(self.pool, chunk, started)


def in_chunks(
    function: Callable[[Sequence[Item]], Result],
    items: Sequence[Item],
    *,
    workers: int | str | None,
    title: str,
    place: Callable[[Item], str],
    limits: Limits = LIMITS,
) -> "Iterator[Done[Item, Result]]":
    """Apply ``function`` to chunks of ``items`` in ``workers`` processes (None: one per core); yields (chunk, result) in order.

    ``workers`` may be the address of a Dask scheduler: then its cluster works. A chunk whose process dies or exceeds the
    ``limits`` is tried again item by item. An item whose process dies, or computes too long, is yielded as (chunk of one,
    ``WorkerFailure``). If it was only late by the clock, which says nothing about the item, ``UserError`` is raised. Errors
    that ``function`` raises are raised here. Results must not depend on the chunks. ``title`` names the progress bar,
    ``place`` an item.
    """
    firsts = range(0, len(items), CHUNK)
    job = Job(function, place, limits)
    bar = tqdm(total=len(items), desc=title, unit=" images", disable=None, leave=False)
    with bar, _team(workers, len(firsts)) as team:

        def finish(chunk: Sequence[Item], started: Any) -> "Iterator[Done[Item, Result]]":
            yield from team.finish(job, chunk, started)
            bar.update(len(chunk))

        pending: deque[tuple[Sequence[Item], Any]] = deque()
        for first in firsts:
            chunk = items[first : first + CHUNK]
            pending.append((chunk, team.start(job, chunk)))
            if len(pending) == AHEAD * team.size:
                yield from finish(*pending.popleft())
        for chunk, started in pending:
            yield from finish(chunk, started)


@contextmanager
def _team(workers: int | str | None, chunks: int) -> Iterator[Team]:
    if isinstance(workers, str):
        # Imported here, as Dask is optional.
        from alexnet.prepare.cluster import cluster

        with cluster(workers) as team:
            yield team
    else:
        size = min(workers or len(os.sched_getaffinity(0)), max(chunks, 1))
        with decoding_pool(size) as pool:
            yield _Here(pool, size)


def _bounded(function: Callable[[Sequence[Item]], Result], items: Sequence[Item], computing: float) -> Result:
    # The kernel ends the process, even inside a decoder, after this time. Only its own instructions count: not waiting, not
    # the kernel's work, which grows when memory is short.
    signal.setitimer(signal.ITIMER_VIRTUAL, computing)
    try:
        return function(items)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


class _Context(ForkServerContext):
    """Keeps the locks that it makes: the pool drops its own before its workers end, and one that is just starting needs them."""

    def __init__(self) -> None:
        super().__init__()
        self._locks: list[RLock] = []

    def RLock(self) -> RLock:
        self._locks.append(super().RLock())
        return self._locks[-1]


@contextmanager
def decoding_pool(workers: int) -> Iterator[ProcessPool]:
    """Processes that may crash, hang or eat memory."""
    # A server with the libraries loaded, and without threads, forks workers in milliseconds, also to replace dead ones.
    context = _Context()
    _keep_socket_short()
    context.set_forkserver_preload(["numpy", "PIL.Image", "simplejpeg"])
    pool = ProcessPool(workers, initializer=_prepare, context=context)
    before = os.environ.get("OPENBLAS_NUM_THREADS")
    # Read by the server, which loads numpy. A worker is one thread; the other cores are for the other workers.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    try:
        _start(pool)
        yield pool
    except BrokenProcessPool:
        raise UserError(
            "the decoding processes do not start; check the free memory and the limits of this shell "
            "(`ulimit -v`, `ulimit -u`, `ulimit -n`), then run this again"
        ) from None
    finally:
        pool.stop()  # type: ignore[no-untyped-call]
        pool.join()
        os.environ.pop("OPENBLAS_NUM_THREADS")
        if before is not None:
            os.environ["OPENBLAS_NUM_THREADS"] = before


def _start(pool: ProcessPool) -> None:
    # Ctrl-C during the start would leave a worker that nobody knows of. The server, which this process ends, would print a
    # traceback while it loads: it inherits the block. The tracker starts first, as its own start would lift that.
    with signals_held_back() as signals:
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            if not pool.active:  # asking starts it
                raise RuntimeError("the pool of decoding processes did not start")
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if signals:
        signal.raise_signal(signals[0])


def refuse_low_limit(item: str) -> None:
    """Raise ``UserError`` if this process may not have ``MEMORY``: on another machine ``item`` may be readable."""
    hard = _hard_limit()
    if hard < MEMORY:
        raise UserError(
            f"{item} cannot be decoded in {hard >> 20:,} MiB, the hard limit of memory here; "
            f"raise it to {MEMORY >> 20:,} MiB (`ulimit -v {MEMORY >> 10}`), then run this again"
        )


def _hard_limit() -> int:
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def _keep_socket_short() -> None:
    # multiprocessing puts its socket into the temporary folder, and Linux takes no long path for one. The folder that it makes on
    # the first call serves all later ones.
    standing = tempfile.gettempdir()
    if len(os.fsencode(standing)) <= LONGEST_TMPDIR:
        return
    folder = next((folder for folder in SHORT_FOLDERS if os.access(folder, os.W_OK | os.X_OK)), None)
    if folder is None:
        raise UserError(f"TMPDIR: {standing} is too long for a socket; set it to a path of at most {LONGEST_TMPDIR} characters")
    tempfile.tempdir = folder
    try:
        get_temp_dir()
    finally:
        tempfile.tempdir = standing


def _prepare() -> None:
    # Ctrl-C is for the parent, which stops the workers. A crash leaves no core file.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit = min(MEMORY, _hard_limit())
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    # By default, glibc returns the memory of each photograph to the kernel, and the next one takes it page by page.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3
        mallopt(trim_threshold, KEPT)
        mallopt(mmap_threshold, KEPT // 4)
