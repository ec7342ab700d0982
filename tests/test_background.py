"""A run that never stops or delays its caller, against real stores and a real server."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from alexnet import background
from alexnet.background import Run
from alexnet.tracking import Entry, Store

TRAINING = """
import signal, sys, time
from pathlib import Path
from alexnet.background import Run
from alexnet.tracking import Store
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
with Run(Store(Path(sys.argv[1])), "killed", resume={"name": "killed"}) as run:
    run.metrics({"step_loss": 2.0}, 1)
    print("training", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        store = Store(tmp_path_factory.mktemp("store"))
        assert store.opened
        return store


def begun(store: Store, name: str) -> Run:
    """A run that MLflow has."""
    run = Run(store, name, resume={"name": name})
    until(lambda: run._entry is not None)
    return run


def until(true: Callable[[], bool]) -> None:
    """Wait until ``true`` is, and fail after a minute."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def locked(store: Store) -> Iterator[None]:
    """The database in the hands of another writer."""
    assert store.database
    with closing(sqlite3.connect(store.database, isolation_level=None)) as other:
        other.execute("begin exclusive")
        yield


@pytest.fixture
def port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


@pytest.fixture
def server(port: int, tmp_path: Path) -> Iterator[Callable[[], int]]:
    """What starts an MLflow server at ``port`` and returns its process group; it ends with the test."""
    started: list[subprocess.Popen[bytes]] = []
    database = ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--artifacts-destination", str(tmp_path / "artifacts")]

    def start() -> int:
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--workers",
            "1",
            *database,
        ]
        quiet = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        started.append(subprocess.Popen(command, env=quiet, stderr=subprocess.DEVNULL, start_new_session=True))
        return started[-1].pid

    yield start
    for process in started:
        os.killpg(process.pid, signal.SIGCONT)
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def test_a_run_has_what_it_was_given_and_ends_finished(store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.bin").write_bytes(b"model")
    with Run(store, "whole", machine=True) as run:
        run.params({"lr": 0.01})
        run.metrics({"train_loss": 2.0, "lr": 0.01}, step=1)
        run.metrics({"train_loss": float("nan")}, step=2)
        run.artifacts(tmp_path / "model.bin", "models")
        run.tags({"model_sha256": "whole"})
    (entry,) = Entry.find(store, {"model_sha256": "whole"})
    assert (entry.status, entry.steps("train_loss"), entry.files("models")) == ("FINISHED", {1, 2}, {"models/model.bin"})
    assert entry.steps("system/cpu_utilization_percentage")
    assert capfd.readouterr() == ("", "")


def test_the_test_results_join_the_run_of_the_model(store: Store) -> None:
    with Run(store, "trained") as run:
        run.tags({"model_sha256": "joined", "dvc_experiment": "workspace"})
    with Run(store, "evaluated", resume={"model_sha256": "joined", "dvc_experiment": "workspace"}) as run:
        run.metrics({"center_top1_error": 0.1})
    (entry,) = Entry.find(store, {"model_sha256": "joined"})
    assert entry.steps("center_top1_error") == {0}
    with Run(store, "another", resume={"model_sha256": "joined", "dvc_experiment": "other"}):
        pass
    assert len(Entry.find(store, {"model_sha256": "joined"})) == 2


def test_a_run_that_fails_is_marked(store: Store) -> None:
    with pytest.raises(ArithmeticError), Run(store, "failing", resume={"name": "failing"}):
        raise ArithmeticError
    assert Entry.find(store, {"name": "failing"})[0].status == "FAILED"


def test_a_terminated_training_leaves_a_killed_run(store: Store) -> None:
    assert store.database
    command = [sys.executable, "-c", TRAINING, str(store.database.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as training:
        assert training.stdout
        assert training.stdout.readline() == "training\n"
        training.send_signal(signal.SIGTERM)
        assert training.wait(30) == 143
    (entry,) = Entry.find(store, {"name": "killed"})
    assert (entry.status, entry.steps("step_loss")) == ("KILLED", {1})


def test_what_mlflow_refuses_keeps_nothing_else_from_going(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    with Run(store, "refused", resume={"name": "refused"}) as run:
        run.artifacts(Path("missing.bin"), "models")
        run.metrics({"train_loss": 1.0}, step=1)
    (entry,) = Entry.find(store, {"name": "refused"})
    assert (entry.status, entry.steps("train_loss")) == ("FINISHED", {1})
    assert capfd.readouterr().err.count("warning: MLflow") == 1


def test_a_server_that_is_down_costs_seconds_and_one_line(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    started = time.monotonic()
    run = Run(Store(tmp_path), "down")
    for step in range(1000):
        run.metrics({"step_loss": 1.0}, step)
    assert time.monotonic() - started < 1
    run.end()
    assert time.monotonic() - started < 15
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_a_locked_database_delays_no_step_and_loses_nothing(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    run = begun(store, "locked")
    with locked(store):
        started = time.monotonic()
        for step in range(100):
            run.metrics({"step_loss": 1.0}, step)
        assert time.monotonic() - started < 1
        time.sleep(3)
    run.end()
    (entry,) = Entry.find(store, {"name": "locked"})
    assert (entry.status, entry.steps("step_loss")) == ("FINISHED", set(range(100)))
    assert capfd.readouterr().err == ""


def test_an_end_waits_no_longer_than_it_was_told(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    run = begun(store, "impatient")
    with locked(store):
        run.metrics({"step_loss": 1.0})
        started = time.monotonic()
        run.end(patience=1)
        assert time.monotonic() - started < 2
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_an_outage_of_the_server_loses_nothing(
    port: int, server: Callable[[], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(background, "LONGEST_PULSE", 1.0)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    (tmp_path / "page.html").write_text("page")
    store = Store(tmp_path)
    with Run(store, "outage", resume={"name": "outage"}) as run:
        run.params({"lr": 0.01})
        run.metrics({"train_loss": float("nan"), "lr": 0.01}, step=1)
        run.artifacts(tmp_path / "page.html", "reports")
        until(lambda: run._warned)
        group = server()
        until(lambda: run._entry is not None and run._well)
        os.killpg(group, signal.SIGSTOP)
        run.metrics({"train_loss": float("inf")}, step=2)
        until(lambda: not run._well)
        os.killpg(group, signal.SIGCONT)
        run.metrics({"train_loss": 0.5}, step=3)
    (entry,) = Entry.find(store, {"name": "outage"})
    assert (entry.status, entry.files("reports")) == ("FINISHED", {"reports/page.html"})
    curve = entry._client.get_metric_history(entry._id, "train_loss")
    assert sorted(point.step for point in curve) == [1, 2, 3]
    assert capfd.readouterr().err.count("warning: MLflow") == 1
