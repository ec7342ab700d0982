"""A run while its server is away, slow, answers 500 or is killed: the caller goes on, and what is missing is sent later, once."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.mlflow_server import Proxy, Server, free_port, proxy_to
from helpers.waiting import until

from alexnet.tracking import background
from alexnet.tracking.background import BackgroundRun
from alexnet.tracking.client import Store, StoredRun
from alexnet.tracking.journal import rests, send

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"), free_port())
    server.start()
    server.wait()
    yield server
    server.end(signal.SIGTERM)


@pytest.fixture
def proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with proxy_to(server.port) as proxy:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setattr(background, "LONGEST_PULSE", 1.0)
        yield proxy


def leftovers(store: Store) -> list[str]:
    """Send what is left, and say what that was."""
    return [send(rest, store) for rest in rests(store.root)]


def train(run: BackgroundRun, steps: range) -> None:
    """Hand the figures of some steps over, as a training does: that must take no time."""
    started = time.monotonic()
    for step in steps:
        run.metrics({"step_loss": 1 / (1 + step)}, step)
    assert time.monotonic() - started < 5  # each that waited for the server would take seconds


def has_each_step_once(stored: StoredRun, steps: range) -> bool:
    curve = stored._client.get_metric_history(stored._id, "step_loss")
    return [(point.step, point.value) for point in curve] == [(step, 1 / (1 + step)) for step in steps]


def test_a_slow_server_delays_nobody_and_misses_nothing_in_the_end(proxy: Proxy, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.connect()
    proxy.delay = 3.0
    run = BackgroundRun(store, "slow", {"training": "slow"})
    train(run, range(1, 500))
    started = time.monotonic()
    run.end(patience=2)
    assert time.monotonic() - started < 20
    proxy.delay = 0.0
    run._thread.join(60)  # of the answers that were on their way, one may have made the run
    leftovers(store)
    (stored,) = store.runs({"training": "slow"})
    assert stored.status == "FINISHED" and has_each_step_once(stored, range(1, 500))
    assert leftovers(store) == []


def test_a_server_that_answers_500_for_a_while_misses_nothing(
    proxy: Proxy, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    proxy.fails = True
    run = BackgroundRun(Store(tmp_path), "failing", {"training": "failing"})
    train(run, range(1, 100))
    until(lambda: run._warned)
    proxy.fails = False
    run.end()
    (stored,) = Store(tmp_path).runs({"training": "failing"})
    assert stored.status == "FINISHED" and has_each_step_once(stored, range(1, 100))
    assert leftovers(Store(tmp_path)) == []
    (line,) = capfd.readouterr().err.splitlines()
    assert "500" in line


def test_what_a_killed_server_missed_is_sent_once_and_in_order(server: Server, proxy: Proxy, tmp_path: Path) -> None:
    run = BackgroundRun(Store(tmp_path), "killed", {"training": "killed"})
    train(run, range(1, 50))
    until(lambda: run._run is not None and not run._points)
    server.end()
    try:
        train(run, range(50, 100))
        run.tags({"model_sha256": "f00d"})
        run.end(patience=1)
    finally:
        server.start()
        server.wait()
    store = Store(tmp_path)
    assert leftovers(store) == ["killed: ended as FINISHED"]
    (stored,) = store.runs({"model_sha256": "f00d"})
    assert stored.status == "FINISHED" and has_each_step_once(stored, range(1, 100))
    assert leftovers(store) == []


@pytest.fixture
def away(tmp_path: Path) -> Iterator[Server]:
    """A server that has not been started."""
    server = Server(tmp_path, free_port())
    yield server
    server.end(signal.SIGTERM)


def test_an_outage_of_the_server_loses_nothing(
    away: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{away.port}")
    monkeypatch.setattr(background, "LONGEST_PULSE", 1.0)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    (tmp_path / "page.html").write_text("page")
    store = Store(tmp_path)
    with BackgroundRun(store, "outage", resume={"name": "outage"}) as run:
        run.params({"lr": 0.01})
        run.metrics({"train_loss": float("nan"), "lr": 0.01}, step=1)
        run.artifacts(tmp_path / "page.html", "reports")
        until(lambda: run._warned)
        away.start()
        until(lambda: run._run is not None and run._answering)
        away.send(signal.SIGSTOP)
        run.metrics({"train_loss": float("inf")}, step=2)
        until(lambda: not run._answering)
        away.send(signal.SIGCONT)
        run.metrics({"train_loss": 0.5}, step=3)
    (stored,) = store.runs({"name": "outage"})
    assert (stored.status, stored.files("reports")) == ("FINISHED", {"reports/page.html"})
    curve = stored._client.get_metric_history(stored._id, "train_loss")
    assert sorted(point.step for point in curve) == [1, 2, 3]
    assert capfd.readouterr().err.count("warning: MLflow") == 1
