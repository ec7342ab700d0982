"""A run that never stops or delays its caller, with a server that is down, mute or away for a while."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.waiting import until

from alexnet.tracking import background
from alexnet.tracking.background import BackgroundRun
from alexnet.tracking.client import Store


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
        process.wait(120)


def test_a_server_that_is_down_costs_seconds_and_one_line(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    started = time.monotonic()
    run = BackgroundRun(Store(tmp_path), "down")
    for step in range(1000):
        run.metrics({"step_loss": 1.0}, step)
    run.end()
    assert time.monotonic() - started < background.PATIENCE
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_a_server_that_never_answers_costs_the_patience_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{mute.getsockname()[1]}")
        run = BackgroundRun(Store(tmp_path), "mute")
        started = time.monotonic()
        run.end(patience=3)
        assert time.monotonic() - started < background.PATIENCE
    (line,) = capfd.readouterr().err.splitlines()
    assert "no answer in 3 s" in line


def test_an_outage_of_the_server_loses_nothing(
    port: int, server: Callable[[], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(background, "LONGEST_PULSE", 1.0)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    (tmp_path / "page.html").write_text("page")
    store = Store(tmp_path)
    with BackgroundRun(store, "outage", resume={"name": "outage"}) as run:
        run.params({"lr": 0.01})
        run.metrics({"train_loss": float("nan"), "lr": 0.01}, step=1)
        run.artifacts(tmp_path / "page.html", "reports")
        until(lambda: run._warned)
        group = server()
        until(lambda: run._run is not None and run._answering)
        os.killpg(group, signal.SIGSTOP)
        run.metrics({"train_loss": float("inf")}, step=2)
        until(lambda: not run._answering)
        os.killpg(group, signal.SIGCONT)
        run.metrics({"train_loss": 0.5}, step=3)
    (stored,) = store.runs({"name": "outage"})
    assert (stored.status, stored.files("reports")) == ("FINISHED", {"reports/page.html"})
    curve = stored._client.get_metric_history(stored._id, "train_loss")
    assert sorted(point.step for point in curve) == [1, 2, 3]
    assert capfd.readouterr().err.count("warning: MLflow") == 1
