"""A run that never stops or delays its caller, with a database."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from helpers.locked import locked
from helpers.waiting import until

from alexnet.tracking import background
from alexnet.tracking.background import BackgroundRun
from alexnet.tracking.client import Store

TRAINING = """
import signal, sys, time
from contextlib import contextmanager
from pathlib import Path
from alexnet.tracking import background
from alexnet.tracking.background import BackgroundRun
from alexnet.tracking.client import Store
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
held_back = background.signals_held_back

@contextmanager
def announced():
    with held_back() as signals:
        print("ending", flush=True)
        yield signals

background.signals_held_back = announced
with BackgroundRun(Store(Path(sys.argv[1])), "training", resume={"name": sys.argv[2]}) as run:
    run.metrics({"step_loss": 2.0}, 1)
    while run._run is None:  # on a slow machine the end is too short to load MLflow in
        time.sleep(0.05)
    print("training", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        store = Store(tmp_path_factory.mktemp("store"))
        store.connect()
        return store


def begun(store: Store, name: str) -> BackgroundRun:
    """A run that MLflow has."""
    run = BackgroundRun(store, name, resume={"name": name})
    until(lambda: run._run is not None)
    return run


def test_a_store_that_is_off_gets_nothing_and_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALEXNET_TRACKING", "off")
    with BackgroundRun(Store(tmp_path), "off", resume={"name": "off"}, machine=True) as run:
        run.params({"lr": 0.01})
        run.metrics({"train_loss": 2.0}, step=1)
    assert capfd.readouterr().err == "note: ALEXNET_TRACKING is off: this run is not tracked\n"
    assert list(tmp_path.iterdir()) == []


def test_a_run_has_what_it_was_given_and_ends_finished(store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.bin").write_bytes(b"model")
    with BackgroundRun(store, "whole", machine=True) as run:
        run.params({"lr": 0.01})
        run.metrics({"train_loss": 2.0, "lr": 0.01}, step=1)
        run.metrics({"train_loss": float("nan")}, step=2)
        run.artifacts(tmp_path / "model.bin", "models")
        run.tags({"model_sha256": "whole"})
    (stored,) = store.runs({"model_sha256": "whole"})
    assert (stored.status, stored.steps("train_loss"), stored.files("models")) == ("FINISHED", {1, 2}, {"models/model.bin"})
    assert stored.steps("system/cpu_utilization_percentage")
    assert capfd.readouterr() == ("", "")


def test_the_test_results_join_the_run_of_the_model(store: Store) -> None:
    with BackgroundRun(store, "trained") as run:
        run.tags({"model_sha256": "joined", "dvc_experiment": "workspace"})
    with BackgroundRun(store, "evaluated", resume={"model_sha256": "joined", "dvc_experiment": "workspace"}) as run:
        run.metrics({"center_top1_error": 0.1})
    (stored,) = store.runs({"model_sha256": "joined"})
    assert stored.steps("center_top1_error") == {0}
    with BackgroundRun(store, "another", resume={"model_sha256": "joined", "dvc_experiment": "other"}):
        pass
    assert len(store.runs({"model_sha256": "joined"})) == 2


def test_a_run_that_fails_is_marked(store: Store) -> None:
    with pytest.raises(ArithmeticError), BackgroundRun(store, "failing", resume={"name": "failing"}):
        raise ArithmeticError
    assert store.runs({"name": "failing"})[0].status == "FAILED"


def test_a_run_that_goes_on_is_running_again(store: Store) -> None:
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), BackgroundRun(store, "stopped", resume={"training": "stopped"}):
            raise KeyboardInterrupt
    assert [stored.status for stored in store.runs({"training": "stopped"})] == ["KILLED"]
    with BackgroundRun(store, "stopped", resume={"training": "stopped"}) as run:
        until(lambda: run._run is not None)
        assert [stored.status for stored in store.runs({"training": "stopped"})] == ["RUNNING"]
    assert [stored.status for stored in store.runs({"training": "stopped"})] == ["FINISHED"]


def test_a_run_that_goes_on_has_each_step_once(store: Store) -> None:
    for steps in (range(1, 6), range(4, 9)):  # as after a checkpoint behind step 3; the steps 4 and 5 are done again
        with suppress(KeyboardInterrupt), BackgroundRun(store, "again", resume={"training": "again"}) as run:
            for step in steps:
                run.metrics({"step_loss": 1 / step, "images_per_second": time.monotonic()}, step)
            raise KeyboardInterrupt
    (stored,) = store.runs({"training": "again"})
    for name in ("step_loss", "images_per_second"):
        history = stored._client.get_metric_history(stored._id, name)
        assert sorted(point.step for point in history) == [1, 2, 3, 4, 5, 6, 7, 8]


@contextmanager
def training(store: Store, name: str) -> Iterator[subprocess.Popen[str]]:
    """A process in the middle of a training, which ends with the first line that it reads."""
    assert store.database
    command = [sys.executable, "-c", TRAINING, str(store.database.parent), name]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "training\n"
        yield process


def ends(process: subprocess.Popen[str]) -> None:
    """Wait until the run is about to be ended, with the signals held back."""
    assert process.stdout
    assert process.stdout.readline() == "ending\n"


def how_it_ended(store: Store, name: str) -> tuple[str, set[int]]:
    """The status of a training and the steps that it has sent."""
    (stored,) = store.runs({"name": name})
    return stored.status, stored.steps("step_loss")


def test_a_terminated_training_leaves_a_killed_run(store: Store) -> None:
    with training(store, "terminated") as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 143
    assert how_it_ended(store, "terminated") == ("KILLED", {1})


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_cuts_no_killed_run_off(store: Store, second: signal.Signals) -> None:
    with training(store, second.name) as process:
        with locked(store):
            process.send_signal(signal.SIGINT)
            ends(process)
            process.send_signal(second)
            time.sleep(0.3)
        assert process.wait(120) == -signal.SIGINT
    assert how_it_ended(store, second.name) == ("KILLED", {1})


def test_a_signal_while_the_last_is_sent_comes_after_it(store: Store) -> None:
    with training(store, "done") as process:
        with locked(store):
            print(file=process.stdin, flush=True)
            ends(process)
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
        assert process.wait(120) == -signal.SIGINT
    assert how_it_ended(store, "done") == ("FINISHED", {1})


def test_what_mlflow_refuses_for_good_is_dropped_and_the_rest_goes_at_once(
    store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    run = begun(store, "refused")
    run.artifacts(Path("missing.bin"), "models")
    for rate in (0.01, 0.02):
        run.params({"lr": rate})
    run.tags({"data_source": "digits"})
    until(lambda: run._warned)
    run.metrics({"train_loss": float("nan")}, step=1)
    until(lambda: not run._calls and not run._points)
    assert run._answering
    run.end()
    (stored,) = store.runs({"name": "refused"})
    assert (stored.status, stored.steps("train_loss"), stored.found_tags["data_source"]) == ("FINISHED", {1}, "digits")
    assert capfd.readouterr().err.count("warning: MLflow") == 1


def test_what_fails_at_the_end_is_tried_until_it_works(store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.bin").write_bytes(b"model")
    run = begun(store, "late")
    assert store.database and run._run
    in_the_way = store.database.parent / "mlruns" / run._run._id
    in_the_way.parent.mkdir(exist_ok=True)
    in_the_way.touch()
    run.artifacts(tmp_path / "model.bin", "models")

    def remove_it() -> None:
        until(lambda: run._warned)
        in_the_way.unlink()

    threading.Thread(target=remove_it).start()
    run.end(patience=120)
    (stored,) = store.runs({"name": "late"})
    assert (stored.status, stored.files("models")) == ("FINISHED", {"models/model.bin"})
    assert capfd.readouterr().err.count("warning: MLflow") == 1


def test_a_locked_database_delays_no_step_and_loses_nothing(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    run = begun(store, "locked")
    with locked(store):
        started = time.monotonic()
        for step in range(100):
            run.metrics({"step_loss": 1.0}, step)
        assert time.monotonic() - started < 60  # each that waited for the database would take seconds
        time.sleep(3)
    run.end()
    (stored,) = store.runs({"name": "locked"})
    assert (stored.status, stored.steps("step_loss")) == ("FINISHED", set(range(100)))
    assert capfd.readouterr().err == ""


def test_an_end_waits_no_longer_than_it_was_told(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    run = begun(store, "impatient")
    with locked(store):
        run.metrics({"step_loss": 1.0})
        started = time.monotonic()
        run.end(patience=1)
        assert time.monotonic() - started < background.PATIENCE
    (line,) = capfd.readouterr().err.splitlines()
    assert "no answer in 1 s" in line
