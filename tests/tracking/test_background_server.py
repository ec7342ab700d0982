"""A run that never stops or delays its caller, with a server that is down, mute or away for a while."""

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.mlflow_server import Server, free_port
from helpers.waiting import until

from alexnet.tracking import background
from alexnet.tracking.background import BackgroundRun
from alexnet.tracking.client import Store


@pytest.fixture
def port() -> int:
    return free_port()


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


@pytest.fixture
def server(port: int, tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, port)
    yield server
    server.end(signal.SIGTERM)


def test_an_outage_of_the_server_loses_nothing(
    port: int, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
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
        server.start()
        until(lambda: run._run is not None and run._answering)
        server.send(signal.SIGSTOP)
        run.metrics({"train_loss": float("inf")}, step=2)
        until(lambda: not run._answering)
        server.send(signal.SIGCONT)
        run.metrics({"train_loss": 0.5}, step=3)
    (stored,) = store.runs({"name": "outage"})
    assert (stored.status, stored.files("reports")) == ("FINISHED", {"reports/page.html"})
    curve = stored._client.get_metric_history(stored._id, "train_loss")
    assert sorted(point.step for point in curve) == [1, 2, 3]
    assert capfd.readouterr().err.count("warning: MLflow") == 1
