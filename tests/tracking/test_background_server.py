"""A run that never stops or delays its caller, with a server that is down or mute."""

import socket
import time
from pathlib import Path

import pytest
from helpers.mlflow_server import free_port

from alexnet.tracking import background
from alexnet.tracking.background import BackgroundRun
from alexnet.tracking.client import Store


def test_a_server_that_is_down_costs_seconds_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr(background, "SHORT_PATIENCE", 2.0)
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
