"""A Dask cluster as the workers of pca and preprocess: each Dask worker has decoding processes as one machine has."""

import asyncio
import logging
import multiprocessing
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

from alexnet.errors import UserError
from alexnet.prepare.workers import Done, Item, Job, Result, decoding_pool

try:
    from distributed import Client, KilledWorker, Worker, WorkerPlugin, get_worker
    from distributed import Future as Remote
    from distributed.versions import VersionMismatchWarning
except ModuleNotFoundError:
    raise UserError(
        "machine.dask needs Dask, which is not installed; run `pip install -c requirements-dev.txt distributed`, then this again"
    ) from None

CODE = ("prepare", "sources")
"""The packages that the pixels depend on."""
LIBRARIES = ("numpy", "pillow", "simplejpeg")
VERSIONS = ("python", "dask", "distributed")
"""What has to be the same on the scheduler and its workers as here, beside that."""
WAIT = 60
"""Seconds that a cluster may be without a scheduler or without workers."""
REMEDY = "start the scheduler and its workers in this repository's folder, all with the same version of it and of its packages"


class Decoders(WorkerPlugin):
    """Decoding processes beside a Dask worker, which an image cannot kill then."""

    def __init__(self) -> None:
        """Take the code here as what a worker should have."""
        self.name = f"alexnet-{uuid4()}"
        self.code = fingerprint()

    def setup(self, worker: Worker) -> None:
        """Start them, where the code is the same. Raises ``UserError``."""
        if fingerprint() != self.code:
            raise UserError("it has other code, or other versions of numpy, pillow or simplejpeg")
        # Dask starts its workers as daemons, which may have no children; these end with their parent all the same.
        multiprocessing.current_process().daemon = False
        self.stack = ExitStack()
        self.pool = self.stack.enter_context(decoding_pool(worker.state.nthreads))

    def teardown(self, worker: Worker) -> None:
        """End them."""
        self.stack.close()


@dataclass(frozen=True)
class Cluster:
    """Dask's client, which gives a chunk to another worker where one is lost."""

    client: Client
    decoders: str
    """The name of the plugin."""
    size: int

    def start(self, job: Job[Item, Result], chunk: Sequence[Item]) -> "Future[list[Done[Item, Result]]]":
        """Send a chunk to the cluster, and take its result from there as soon as it is done: it may have to wait for its turn."""
        remote = self.client.submit(_work, self.decoders, job, chunk, pure=False)
        loop: Any = self.client.loop
        return asyncio.run_coroutine_threadsafe(_fetched(remote), loop.asyncio_loop)

    def finish(
        self, job: Job[Item, Result], chunk: Sequence[Item], started: "Future[list[Done[Item, Result]]]"
    ) -> Iterable[Done[Item, Result]]:
        """Wait for its results. Raises ``UserError`` if the cluster is gone."""
        while True:
            try:
                return started.result(timeout=WAIT)
            except TimeoutError:
                if not self.client.nthreads():  # type: ignore[no-untyped-call]
                    raise UserError(f"machine.dask: all workers are gone; {REMEDY}, then run this again") from None
            except KilledWorker as death:
                raise UserError(f"machine.dask: several workers died one after the other ({death}); see their logs") from None
            except RuntimeError as error:
                raise UserError(f"machine.dask: {' '.join(str(error).split())[:120]}; {REMEDY}") from None
            except (CancelledError, OSError):
                raise UserError("machine.dask: the connection to the scheduler is lost; run this again") from None


@contextmanager
def cluster(address: str) -> Iterator[Cluster]:
    """The cluster of the scheduler at ``address``, with decoders as long as this lasts. Raises ``UserError``."""
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # a lost scheduler is an error of ours
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VersionMismatchWarning)  # refused below, in one line
            client = Client(address, timeout=WAIT // 4, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError, ValueError):
        raise UserError(
            f"machine.dask: no scheduler answers at {address}; start one (`dask scheduler`), or leave the setting empty"
        ) from None
    with client:
        _refuse_other_versions(client, address)
        threads = client.nthreads()  # type: ignore[no-untyped-call]
        if not threads:
            raise UserError(f"machine.dask: {address} has no workers; {REMEDY}")
        decoders = Decoders()
        try:
            client.register_plugin(decoders)
        except Exception as error:  # whatever a worker without this package, or with another one, says
            raise UserError(f"machine.dask: a worker of {address} does not start: {error}; {REMEDY}") from None
        try:
            yield Cluster(client, decoders.name, sum(threads.values()))
        finally:
            with suppress(Exception):
                client.unregister_worker_plugin(decoders.name)  # type: ignore[no-untyped-call]


def _refuse_other_versions(client: Client, address: str) -> None:
    found: Any = client.get_versions()
    here = found["client"]["packages"]
    for place, other in {address: found["scheduler"], **found["workers"]}.items():
        for name in VERSIONS:
            if (there := other["packages"][name]) != here[name]:
                raise UserError(f"machine.dask: {place} has {name} {there}, and here it is {here[name]}; {REMEDY}")


def fingerprint() -> str:
    """A hash over what the pixels depend on: the code, and the libraries' versions."""
    digest = sha256(" ".join([*map(version, LIBRARIES), sys.version.split()[0]]).encode())
    for folder in CODE:
        for path in sorted((Path(__file__).parents[1] / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


async def _fetched(remote: "Remote[Any]") -> Any:
    # Nobody else has the future, so the cluster forgets it then, and a worker's end cannot cost what it has done.
    return await remote


def _work(decoders: str, job: Job[Item, Result], chunk: Sequence[Item]) -> list[Done[Item, Result]]:
    plugin: Any = get_worker().plugins[decoders]
    return list(job.finish(plugin.pool, chunk, job.start(plugin.pool, chunk)))
