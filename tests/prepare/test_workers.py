"""Workers that crash, compute without end or run out of memory cost the guilty item and nothing else."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from PIL import Image

from alexnet.errors import UserError
from alexnet.files.whole import sha256_of
from alexnet.prepare.squares import SquareSpec
from alexnet.prepare.workers import AHEAD, CHUNK, Limits, WorkerFailure, in_chunks
from alexnet.sources.manifest import Row

REPOSITORY = Path(__file__).resolve().parents[2]
KILLER, HANGER = 40, 70


def double(items: Sequence[int]) -> list[int]:
    return [2 * item for item in items]


def double_but_die(items: Sequence[int]) -> list[int]:
    if KILLER in items:
        os.kill(os.getpid(), signal.SIGKILL)
    return double(items)


def double_but_wait(items: Sequence[int]) -> list[int]:
    if HANGER in items:
        time.sleep(60)
    return double(items)


def double_but_pause(items: Sequence[int]) -> list[int]:
    if HANGER in items:
        time.sleep(1)
    return double(items)


def double_but_compute(items: Sequence[int]) -> list[int]:
    while HANGER in items:
        pass
    return double(items)


def double_slowly(items: Sequence[int]) -> list[int]:
    until = time.process_time() + 0.1
    while time.process_time() < until:
        sum(range(10_000))  # reading the clock is the kernel's work, which does not count
    return double(items)


def refuse(items: Sequence[int]) -> list[int]:
    raise UserError(f"{items[0]} is refused; choose another")


def eat(items: Sequence[int]) -> str:
    try:
        return f"{len(bytearray(6 << 30))} bytes"
    except MemoryError:
        return "MemoryError"


def threads(items: Sequence[int]) -> str:
    return os.environ["OPENBLAS_NUM_THREADS"]


def flat(results: Iterable[tuple[Sequence[int], list[int] | WorkerFailure]]) -> list[tuple[int, int | str]]:
    """(item, its result or reason) of all chunks."""
    pairs: list[tuple[int, int | str]] = []
    for chunk, result in results:
        pairs += [(chunk[0], result.reason)] if isinstance(result, WorkerFailure) else zip(chunk, result, strict=True)
    return pairs


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_order_from_any_number_of_workers(workers: int) -> None:
    items = list(range(5 * CHUNK + 3))
    assert flat(in_chunks(double, items, workers=workers, title="", place=str)) == [(item, 2 * item) for item in items]


def test_a_worker_killed_midway_costs_only_its_item() -> None:
    items = list(range(3 * CHUNK))
    expected = [(item, "decoder crashed" if item == KILLER else 2 * item) for item in items]
    assert flat(in_chunks(double_but_die, items, workers=2, title="", place=str)) == expected


def test_an_item_that_computes_without_end_costs_only_itself() -> None:
    items = list(range(3 * CHUNK))
    expected = [(item, "decoder computed for more than 0.3 s" if item == HANGER else 2 * item) for item in items]
    assert flat(in_chunks(double_but_compute, items, workers=2, title="", place=str, limits=Limits(computing=0.3))) == expected


def test_the_computing_of_earlier_chunks_does_not_count() -> None:
    items = list(range(6 * CHUNK))
    expected = [(item, 2 * item) for item in items]
    assert flat(in_chunks(double_slowly, items, workers=1, title="", place=str, limits=Limits(computing=0.3))) == expected


def test_time_spent_waiting_makes_no_item_guilty() -> None:
    items = list(range(3 * CHUNK))
    expected = [(item, 2 * item) for item in items]
    assert flat(in_chunks(double_but_pause, items, workers=2, title="", place=str, limits=Limits(computing=0.3))) == expected
    with pytest.raises(UserError, match=f"reading {HANGER} took more than 3 s.*run this again"):
        flat(in_chunks(double_but_wait, items, workers=2, title="", place=str, limits=Limits(waiting=3)))


def test_a_worker_that_eats_memory_is_stopped() -> None:
    assert [result for _, result in in_chunks(eat, [0], workers=1, title="", place=str)] == ["MemoryError"]


LIMITED = """
import ctypes, resource, sys
hard, module = int(sys.argv[1]), sys.argv[2]
drop_from_bounding_set = raise_limits = 24  # Linux's numbers: root could raise the limit again
ctypes.CDLL(None).prctl(drop_from_bounding_set, raise_limits)
resource.setrlimit(resource.RLIMIT_AS, (hard << 20, hard << 20))
import os
os.execv(sys.executable, [sys.executable, "-c", f"from prepare.test_workers import {module} as do; do()"])
"""


def print_doubles() -> None:
    print(flat(in_chunks(double, [1, 2], workers=1, title="", place=str)))


def read_a_large_picture(items: Sequence[int], folder: Path) -> int:
    picture = folder / "large.png"
    row = Row("train", 0, picture.name, 0, picture.stat().st_size, sha256_of(picture))
    return sum(1 for _ in SquareSpec(folder, "encoded", 8).squares([(0, row)]))


def print_squares() -> None:
    folder = Path(os.environ["FOLDER"])
    try:
        print(list(in_chunks(partial(read_a_large_picture, folder=folder), [0], workers=1, title="", place=str)))
    except UserError as error:
        print(error)


def limited(mebibytes: int, function: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Call a function of this module in a process under a hard limit of memory."""
    fixed = {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/tests", "OPENBLAS_NUM_THREADS": "1"}  # numpy reserves memory for each core
    environment = os.environ | fixed | variables
    command = [sys.executable, "-c", LIMITED, str(mebibytes), function]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment, check=False)


def test_a_hard_limit_of_memory_below_that_of_a_worker_is_kept() -> None:
    done = limited(2000, "print_doubles")
    assert (done.stdout, done.stderr) == ("[(1, 2), (2, 4)]\n", "")


def test_a_picture_that_a_lower_limit_makes_unreadable_is_no_reject(tmp_path: Path) -> None:
    Image.new("RGB", (12_000, 12_000)).save(tmp_path / "large.png", compress_level=1)
    done = limited(700, "print_squares", FOLDER=str(tmp_path))
    assert done.stdout.startswith(
        "large.png cannot be decoded in 700 MiB, the hard limit of memory here; raise it to 4,096 MiB ("
    )
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


def test_a_long_temporary_folder_is_no_obstacle(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    program = "from prepare.test_workers import print_doubles as do; do()"
    environment = os.environ | {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/tests", "TMPDIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240, env=environment)
    assert (done.stdout, done.stderr) == ("[(1, 2), (2, 4)]\n", "")


def test_a_worker_is_one_thread() -> None:
    before = os.environ.get("OPENBLAS_NUM_THREADS")
    assert [result for _, result in in_chunks(threads, [0], workers=1, title="", place=str)] == ["1"]
    assert os.environ.get("OPENBLAS_NUM_THREADS") == before


def test_an_error_for_the_user_ends_the_walk() -> None:
    with pytest.raises(UserError, match="0 is refused"):
        list(in_chunks(refuse, list(range(100)), workers=2, title="", place=str))


def test_no_items_are_no_results() -> None:
    assert list(in_chunks(double, [], workers=2, title="", place=str)) == []


SLOW_START = """
import os, signal, sys, threading, time
from pathlib import Path
from alexnet.prepare.workers import in_chunks

mark = Path(sys.argv[1])

def interrupt_once_workers_start():
    while not mark.exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)

if __name__ == "__main__":
    threading.Thread(target=interrupt_once_workers_start, daemon=True).start()
    try:
        list(in_chunks(len, range(1000), workers=2, title="", place=str))
    except KeyboardInterrupt:
        print("interrupted")
else:  # a worker, which loads this module before it takes what it needs from its parent
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    mark.touch()
    time.sleep(0.5)
"""


def test_workers_that_are_starting_when_the_walk_ends_are_silent(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW_START)
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, str(tmp_path / "slow.py"), str(tmp_path / "mark")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")


def leave_a_mark(items: Sequence[int], folder: Path) -> None:
    (folder / str(items[0])).touch()


def test_work_is_taken_up_only_a_window_ahead_of_the_results(tmp_path: Path) -> None:
    results = in_chunks(partial(leave_a_mark, folder=tmp_path), list(range(100 * CHUNK)), workers=1, title="", place=str)
    next(results)
    time.sleep(0.5)
    assert 0 < len(list(tmp_path.iterdir())) <= AHEAD + 1
    cast(Generator[object], results).close()
