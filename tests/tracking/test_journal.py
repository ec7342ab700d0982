"""What a process that is gone left of its run, and how it is sent."""

import math
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.locked import locked

from alexnet.tracking.background import BackgroundRun
from alexnet.tracking.client import Store
from alexnet.tracking.journal import FOLDER, rests, send

TRAINING = """
import sys, time
from pathlib import Path
from alexnet.tracking.background import BackgroundRun
from alexnet.tracking.client import Store
run = BackgroundRun(Store(Path(sys.argv[1])), "training", resume={"training": "token"})
run.metrics({"step_loss": 2.0}, 1)
while run._run is None or run._points:
    time.sleep(0.05)
print("sent", flush=True)
sys.stdin.readline()
for step in range(2, 6):
    run.metrics({"step_loss": 2 / step}, step)
print("not sent", flush=True)
sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        store = Store(tmp_path_factory.mktemp("store"))
        store.connect()
        return store


def leftovers(store: Store) -> list[str]:
    """Send what is left, and say what that was."""
    return [send(rest, store) for rest in rests(store.root)]


def curve(store: Store, tags: dict[str, str]) -> tuple[str, list[tuple[int, float]]]:
    """The status of the only run with these tags and its losses, in MLflow's order."""
    (stored,) = store.runs(tags)
    return stored.status, [(point.step, point.value) for point in stored._client.get_metric_history(stored._id, "step_loss")]


def test_a_killed_training_loses_nothing_and_is_running_no_more(store: Store) -> None:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", TRAINING, str(store.root)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout and process.stdin
        assert process.stdout.readline() == "sent\n"
        assert leftovers(store) == []  # it lives
        assert curve(store, {"training": "token"}) == ("RUNNING", [(1, 2.0)])
        with locked(store):
            print(file=process.stdin, flush=True)
            assert process.stdout.readline() == "not sent\n"
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert leftovers(store) == ["training: ended as KILLED"]
    assert curve(store, {"training": "token"}) == ("KILLED", [(step, 2 / step) for step in range(1, 6)])
    assert leftovers(store) == [] and not list((store.root / FOLDER).iterdir())


def outage(store: Store, steps: range, token: str, status: str = "FINISHED") -> None:
    """A run whose server is down from its begin to its end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        down = Store(store.root)
    run = BackgroundRun(down, "outage", resume={"training": token})
    run.params({"lr": 0.01, "data.root": None})
    for step in steps:
        run.metrics({"step_loss": math.inf if step == 2 else 2 / step}, step)
    run.tags({"dvc_experiment": "workspace", "note": "ü"})
    run.end(status, patience=0.5)


def test_a_run_that_mlflow_never_saw_is_sent_whole(store: Store) -> None:
    outage(store, range(1, 4), "unseen")
    assert leftovers(store) == ["outage: ended as FINISHED"]
    assert curve(store, {"training": "unseen"}) == ("FINISHED", [(1, 2.0), (2, sys.float_info.max), (3, 2 / 3)])
    (stored,) = store.runs({"training": "unseen"})
    assert stored._run.data.params == {"lr": "0.01", "data.root": "null"}
    assert stored.found_tags["note"] == "ü"


def test_a_training_that_was_stopped_twice_has_each_step_once(store: Store) -> None:
    outage(store, range(1, 6), "twice", "KILLED")
    outage(store, range(4, 9), "twice")  # from a checkpoint behind step 3
    assert leftovers(store) == ["outage: ended as KILLED", "outage: ended as FINISHED"]
    status, points = curve(store, {"training": "twice"})
    assert (status, [step for step, _ in points]) == ("FINISHED", list(range(1, 9)))


def test_what_was_left_of_a_training_that_goes_on_waits_for_its_end(store: Store) -> None:
    outage(store, range(1, 3), "on", "KILLED")
    run = BackgroundRun(store, "on", resume={"training": "on"})
    assert leftovers(store) == []
    run.metrics({"step_loss": 2 / 3}, 3)
    run.end()
    assert leftovers(store) == ["on: sent what its process left"]
    status, points = curve(store, {"training": "on"})
    assert (status, [step for step, _ in points]) == ("FINISHED", [1, 2, 3])


def test_a_cut_off_or_empty_file_costs_no_more_than_its_last_line(store: Store) -> None:
    outage(store, range(1, 3), "cut")
    (path,) = (store.root / FOLDER).iterdir()
    path.write_bytes(path.read_bytes() + b'\n["points", [["step_l')
    (store.root / FOLDER / "0.jsonl").touch()
    assert leftovers(store) == ["outage: ended as FINISHED"]
    (store.root / FOLDER / "0.jsonl").unlink()


def test_a_folder_that_cannot_be_written_costs_only_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    run = BackgroundRun(Store(Path("/proc/sys")), "nowhere", resume={"training": "nowhere"})
    run.metrics({"step_loss": 1.0}, 1)
    run.end(patience=0.5)
