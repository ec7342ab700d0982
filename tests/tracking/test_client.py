"""The store of MLflow runs, and one run spoken to directly."""

import math
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from alexnet.config.section import flat
from alexnet.tracking.client import Store, named_results
from alexnet.tracking.journal import FOLDER

EIGHT = """
import os, sys, time
from pathlib import Path
import mlflow
from alexnet.tracking.background import BackgroundRun
from alexnet.tracking.client import Store

def experiment(number: int) -> None:
    run = BackgroundRun(Store(Path(sys.argv[1])), f"experiment {number}", resume={"experiment": str(number)})
    run.params({"seed": number})
    for step in range(1, 4):
        run.metrics({"step_loss": number / step}, step)
    run.tags({"model_sha256": f"model {number}"})
    while run._run is None:  # a real one takes longer than the store's creation
        time.sleep(0.05)
    run.end(patience=200)

def child(number: int) -> int:
    if not (process := os.fork()):
        experiment(number)
        os._exit(0)
    return process

sys.exit(any([os.waitpid(process, 0)[1] for process in [child(number) for number in range(8)]]))
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store in which eight processes at once have tracked an experiment each, and which the first of them created."""
    root = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        subprocess.run([sys.executable, "-c", EIGHT, str(root)], check=True, timeout=240)
        return Store(root)


def test_eight_experiments_at_once_on_a_new_store_leave_eight_whole_runs(store: Store) -> None:
    assert sum("experiment" in stored.found_tags for stored in store.runs({})) == 8
    for number in range(8):
        (stored,) = store.runs({"experiment": str(number)})
        run = stored._client.get_run(stored._id)
        assert (stored.status, stored.steps("step_loss")) == ("FINISHED", {1, 2, 3})
        assert (run.data.params["seed"], stored.found_tags["model_sha256"]) == (str(number), f"model {number}")
    assert not list((store.root / FOLDER).iterdir())


def test_what_was_sent_comes_back(store: Store, tmp_path: Path) -> None:
    stored = store.create("all", {"model_sha256": "f00d"})
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "page.html").write_text("page")
    settings = flat(
        {"lr": 1e-05, "data": {"root": None}, "pipeline": {"cuts": ["conv3"]}, "many": {str(n): n for n in range(250)}}
    )
    stored.params(settings | {"long": "x" * 10_000})
    stored.points([("loss", n / 7, n, 1_000 + n) for n in range(2_500)])
    stored.points([("odd", value, step, 0) for step, value in enumerate((math.nan, math.inf, -math.inf))])
    stored.artifacts(tmp_path, "reports")
    stored.end("FINISHED")

    (found,) = store.runs({"model_sha256": "f00d"})
    run = found._client.get_run(found._id)
    assert run.info.run_name == "all" and found.status == "FINISHED"
    assert {name: run.data.params[name] for name in ("lr", "data.root", "pipeline.cuts", "many.249")} == {
        "lr": "1e-05",
        "data.root": "null",
        "pipeline.cuts": '["conv3"]',
        "many.249": "249",
    }
    curve = found._client.get_metric_history(found._id, "loss")
    assert {point.step: point.value for point in curve} == {n: n / 7 for n in range(2_500)}
    assert found.steps("odd") == {0, 1, 2}
    assert found.files("reports") == {"reports/deep/page.html"}


def test_a_point_that_is_sent_again_is_kept_once(store: Store) -> None:
    stored = store.create("again", {})
    for _ in range(2):
        stored.points([("loss", 0.5, 1, 1_000)])
    assert len(stored._client.get_metric_history(stored._id, "loss")) == 1


def test_the_newest_run_with_a_models_hash_comes_first(store: Store) -> None:
    for name in ("older", "newer"):
        store.create(name, {"model_sha256": "cafe"})
    assert [stored._run.info.run_name for stored in store.runs({"model_sha256": "cafe"})] == ["newer", "older"]


def test_a_run_is_found_by_a_tag_of_any_characters_and_by_that_alone(store: Store) -> None:
    names = ["it's", "it_s", "its", 'say "it\'s"', "100%", "x' or 1=1 --"]
    for name in names:
        store.create(name, {"dvc_experiment": name})
    for name in names:
        assert [stored.name for stored in store.runs({"dvc_experiment": name})] == [name]


def test_settings_that_a_run_has_are_not_sent_again(store: Store) -> None:
    store.create("settings", {"model_sha256": "beef"}).params({"lr": 0.01})
    (found,) = store.runs({"model_sha256": "beef"})
    assert found.params({"lr": 0.02, "seed": 0}) == 1


def test_the_store_lies_in_the_main_repository_whatever_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path / "temporary")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert Store(tmp_path).uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert Store(tmp_path).artifacts == f"file://{tmp_path}/mlruns"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mine.db")
    assert Store(tmp_path).uri == f"sqlite:///{tmp_path}/mine.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert (Store(tmp_path).uri, Store(tmp_path).artifacts) == ("http://127.0.0.1:5000", None)


def test_a_failure_is_described_in_one_line_without_the_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somebody:secret@127.0.0.1:5000")
    said = Store(tmp_path).describe(ValueError("no answer\nfrom it"))
    assert said == "MLflow at http://127.0.0.1:5000 failed (no answer)"


def test_a_long_description_of_a_failure_keeps_its_beginning_and_the_cause_at_its_end(tmp_path: Path) -> None:
    said = Store(tmp_path).describe(ValueError("the upload to " + 500 * "x" + " failed: timed out"))
    assert "(the upload to xxx" in said and said.endswith("xxx failed: timed out)")
    assert len(said) < 400 + len(str(tmp_path))


def failure_of(root: Path, uri: str | None = None, **variables: str) -> str:
    """What is said of the store of this address, by default the one of ``root``, if it refuses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for name, value in variables.items() if uri is None else [("MLFLOW_TRACKING_URI", uri), *variables.items()]:
            patch.setenv(name, value)
        store = Store(root)
        with pytest.raises(store.failure) as refusal:
            store.connect()
    said = store.describe(refusal.value)
    assert "\n" not in said and "…" not in said
    return said


def follow(said: str) -> None:
    """Run the command that a message advises."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(said.split("`")[1], shell=True, env=environment, check=True, capture_output=True, timeout=240)


@pytest.fixture
def standing(store: Store, tmp_path: Path) -> Path:
    """A folder of an odd name with a copy of the store's database."""
    root = tmp_path / "it's a folder"
    root.mkdir()
    assert store.database
    shutil.copy(store.database, root / "mlflow.db")
    return root


@pytest.mark.parametrize("revision", ["75868b020152", "ffffffffffff"], ids=["older", "newer"])
def test_a_database_of_another_mlflow_is_refused_with_what_helps(standing: Path, revision: str) -> None:
    with closing(sqlite3.connect(standing / "mlflow.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = ?", [revision])
    said = failure_of(standing)
    assert "another version of MLflow made its database; if that was an older one, copy the database and run `" in said
    command = said.split("`")[1]
    assert shlex.split(command) == ["mlflow", "db", "upgrade", f"sqlite:///{standing}/mlflow.db"]
    assert said.endswith("else set another in MLFLOW_TRACKING_URI)")


@pytest.mark.parametrize("revision", ["3500859a5d39", None], ids=["interrupted", "overwritten"])
def test_a_database_that_is_not_whole_is_refused_with_the_command_that_helps(standing: Path, revision: str | None) -> None:
    file = standing / "mlflow.db"
    if revision is None:
        file.write_bytes(b"no database" * 1000)
    else:  # what a `kill -9` leaves behind the migration of this number
        with closing(sqlite3.connect(file)) as database, database:
            database.execute("UPDATE alembic_version SET version_num = ?", [revision])
            database.execute("DROP TABLE jobs")
    said = failure_of(standing)
    assert "was not created to its end; run `mv " in said and "`python -m workflow.track` sends all runs again" in said
    follow(said)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert Store(standing).runs({}) == []
    assert (standing / "mlflow.db.broken").exists()


def test_a_deleted_experiment_is_refused_with_the_command_that_helps(standing: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{standing}/mlflow.db")
    found = client.get_experiment_by_name("alexnet")
    assert found
    client.delete_experiment(found.experiment_id)
    said = failure_of(standing)
    assert "its experiment alexnet was deleted; run `MLFLOW_TRACKING_URI=" in said
    follow(said)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert len(Store(standing).runs({"model_sha256": "f00d"})) <= 1


@pytest.mark.parametrize(
    ("uri", "package"),
    [
        ("postgresql://u:secret@127.0.0.1/db", "psycopg"),
        ("postgresql+psycopg2://u:secret@127.0.0.1/db", "psycopg2-binary"),
        ("mysql://u:secret@127.0.0.1/db", "mysqlclient"),
        ("mysql+pymysql://u:secret@127.0.0.1/db", "pymysql"),
        ("mssql+pyodbc://u:secret@127.0.0.1/db", "pyodbc"),
    ],
)
def test_a_database_without_its_driver_is_refused_with_the_package(
    tmp_path: Path, uri: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)  # the only one that is installed, for the tests of services
    said = failure_of(tmp_path, uri)
    assert re.search(rf"\(its driver is missing; run `python -m pip install '?{package}\b", said)
    assert "secret" not in said


def test_a_variable_of_mlflow_that_it_cannot_read_is_a_refusal(tmp_path: Path) -> None:
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" in failure_of(tmp_path, "http://127.0.0.1:9", MLFLOW_HTTP_REQUEST_TIMEOUT="soon")


def test_results_get_the_names_of_the_metrics() -> None:
    results = {"center": {"top1_error": 0.2, "loss": 1.0}, "ten_crop": {"top1_error": 0.1}, "images": 9, "classes": 3}
    assert named_results(results) == {"center_top1_error": 0.2, "center_loss": 1.0, "ten_crop_top1_error": 0.1}


def test_mlflow_is_imported_when_a_store_is_opened_and_not_before() -> None:
    code = "import sys, alexnet.tracking.background, alexnet.tracking.client; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
