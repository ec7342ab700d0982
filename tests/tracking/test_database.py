"""MLflow's SQLite database whose creation is killed, and whose disk is full or read-only."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from helpers.waiting import until

from alexnet.tracking import background
from alexnet.tracking.background import BackgroundRun
from alexnet.tracking.client import Store

KILLED = """
import os, signal, sys, time
from contextlib import suppress
from pathlib import Path
import mlflow.store.tracking.sqlalchemy_store
from alexnet.tracking.client import Store

root = Path(sys.argv[1])

def written():
    total = 0
    for file in root.glob("mlflow.db*"):
        with suppress(FileNotFoundError):  # the child removes what the one before left
            total += file.stat().st_size if "journal" not in file.name else 0
    return total

for size in map(int, sys.argv[2:]):
    if not (child := os.fork()):
        Store(root).connect()
        os._exit(0)
    while written() < size:
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
Store(root).create("whole", {})
"""


def test_a_database_whose_creation_was_killed_is_created_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    sizes = ["1", "300000"]
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), *sizes], check=True, timeout=240)
    assert len(Store(tmp_path).runs({})) == 1
    assert {file.name for file in tmp_path.iterdir()} <= {"mlflow.db", "mlflow.db.lock"}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "small", str(folder)], check=False, capture_output=True)
    if mount.returncode:
        pytest.skip("this user cannot mount a disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_or_read_only_disk_of_the_database_loses_nothing(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{disk}/mlflow.db")
    monkeypatch.setattr(background, "LONGEST_PULSE", 1.0)
    ballast = disk / "ballast"
    fill(ballast)
    run = BackgroundRun(Store(tmp_path), "full", resume={"training": "full"})
    run.metrics({"step_loss": 1.0}, 1)
    until(lambda: run._warned)  # full before the database could be created
    assert not (disk / "mlflow.db").exists()
    ballast.unlink()
    until(lambda: run._run is not None and not run._points)
    for step, remedy in ((2, "full"), (3, "ro")):
        if remedy == "ro":
            until(lambda: remounted(disk, "ro"))
        else:
            fill(ballast)
        run.metrics({f"metric {number}": 0.5 for number in range(2000)}, step)
        run.metrics({"step_loss": 1 / step}, step)
        until(lambda: not run._answering)
        assert remounted(disk, "rw,size=64m")
        until(lambda: not run._points)
    run.end()
    (stored,) = Store(tmp_path).runs({"training": "full"})
    curve = stored._client.get_metric_history(stored._id, "step_loss")
    assert stored.status == "FINISHED" and [(point.step, point.value) for point in curve] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    (line,) = capfd.readouterr().err.splitlines()
    assert "full" in line


def remounted(disk: Path, options: str) -> bool:
    """Whether that could be done: not to read-only while a file is being written."""
    return subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=False, capture_output=True).returncode == 0


def fill(file: Path) -> None:
    """Write until the disk is full."""
    with suppress(OSError), file.open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(1 << 12))
