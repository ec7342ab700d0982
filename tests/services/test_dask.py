"""pca and preprocess on a Dask cluster: the bytes of one machine, also where a worker is lost."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from threading import Thread

import psutil  # type: ignore[import-untyped]
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from alexnet.errors import UserError
from alexnet.files.whole import sha256_of
from alexnet.prepare.color_stats import collect
from alexnet.prepare.sharding import write_shards
from alexnet.prepare.squares import SquareSpec
from alexnet.prepare.workers import CHUNK, WorkerFailure, in_chunks
from alexnet.sources.manifest import SPLITS, Manifest, Row

pytestmark = pytest.mark.services
ROOT = Path(__file__).parents[2]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list["subprocess.Popen[str]"]]]:
    """The address of a scheduler, and its three workers."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"}
    start = partial(subprocess.Popen, cwd=tmp_path, env=environment, start_new_session=True)
    file, log = tmp_path / "scheduler.json", (tmp_path / "log").open("wb")
    here = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    scheduler = start([*here, "--scheduler-file", str(file)], stderr=log)
    while not file.exists():
        time.sleep(0.1)
    work = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(file), "--nthreads", "1"]
    workers = [start([*work, "--no-nanny" if number else "--nanny", "--no-dashboard"], stderr=log) for number in range(3)]
    from distributed import Client

    with Client(scheduler_file=str(file), set_as_default=False) as client:  # type: ignore[no-untyped-call]
        client.wait_for_workers(3, timeout=120)
        address = client.scheduler.address
    yield address, workers
    for process in (*workers, scheduler):
        process.kill()
        process.wait()


def slowly(items: Sequence[int], folder: Path) -> list[int]:
    """The first chunk takes so long that the results of ten others wait for their turn."""
    worker = psutil.Process().parents()[1].pid  # the parent starts decoders
    (folder / f"{items[0] // CHUNK} {worker} {time.time_ns()}").touch()
    time.sleep(0.3 if items[0] else 4)
    return [2 * item for item in items]


def die_of_forty(items: Sequence[int]) -> list[int]:
    if 40 in items:
        os.kill(os.getpid(), signal.SIGKILL)
    return list(items)


def test_a_lost_worker_costs_the_chunk_that_it_computes_alone(
    cluster: tuple[str, list["subprocess.Popen[str]"]], tmp_path: Path
) -> None:
    """Not the two that it has computed before, though they wait for their turn to be written."""
    address, workers = cluster
    items = list(range(20 * CHUNK))
    lost: list[str] = []

    def marks() -> list[list[str]]:
        return [path.name.split() for path in sorted(tmp_path.glob("* * *"), key=lambda path: path.name.split()[2])]

    def kill_one() -> None:
        while not lost:
            time.sleep(0.05)
            for process in workers[1:]:
                chunks = [chunk for chunk, worker, _ in marks() if int(worker) == process.pid]
                if len(chunks) == 3 and "0" not in chunks and not lost:
                    time.sleep(0.1)
                    process.kill()
                    lost.append(chunks[-1])

    Thread(target=kill_one, daemon=True).start()
    found = list(in_chunks(partial(slowly, folder=tmp_path), items, workers=address, title="", place=str))
    assert [result for _, part in found if isinstance(part, list) for result in part] == [2 * item for item in items]
    assert sorted(chunk for chunk, *_ in marks()) == sorted([*map(str, range(20)), *lost])
    assert len(lost) == 1


def test_a_decoder_that_crashes_costs_its_image_and_no_worker(cluster: tuple[str, list["subprocess.Popen[str]"]]) -> None:
    address, workers = cluster
    found = list(in_chunks(die_of_forty, list(range(100)), workers=address, title="", place=str))
    assert [(chunk[0], part.reason) for chunk, part in found if isinstance(part, WorkerFailure)] == [(40, "decoder crashed")]
    assert sum(len(chunk) for chunk, _ in found) == 100
    assert all(worker.poll() is None for worker in workers)


def test_a_cluster_gives_the_bytes_of_one_machine(cluster: tuple[str, list["subprocess.Popen[str]"]], tmp_path: Path) -> None:
    rows, images = [], tmp_path / "images"
    images.mkdir()
    for number in range(150):
        photo, file = load_sample_images().images[number % 2], images / f"{number:03d}.jpg"
        Image.fromarray(photo[number : number + 200, number : number + 250]).save(file)
        if number == 70:
            file.write_bytes(file.read_bytes()[:100])
        split = SPLITS[number // 50]
        rows.append(Row(split, number % 2, file.name, 0, file.stat().st_size, sha256_of(file)))
    manifest, spec = Manifest("folder", ["a", "b"], True, "encoded", str(images), rows), SquareSpec(images, "encoded", 64)
    sums = []
    teams: dict[str, int | str] = {"here": 2, "there": cluster[0]}
    for name, team in teams.items():
        write_shards(tmp_path / name, manifest, spec, quality=90, workers=team, max_rejects=1)
        sums.append(collect(manifest.numbered(), spec, workers=team, max_rejects=1))
    files = {path.name: path.read_bytes() for path in (tmp_path / "here").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "there").iterdir()}
    assert (sums[0].image == sums[1].image).all() and (sums[0].products == sums[1].products).all()
    assert sums[0].rejects == sums[1].rejects


def test_a_cluster_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match=r"no scheduler answers at tcp://127.0.0.1:9; start one"):
        list(in_chunks(len, [1], workers="tcp://127.0.0.1:9", title="", place=str))
