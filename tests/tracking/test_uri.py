"""Where the store is: what an address means, odd names of folders, and repositories that were copied or moved."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from alexnet.tracking.client import Store
from alexnet.tracking.uri import Address

ODD = 'a%41 what?#1 it\'s "100%"'


@pytest.fixture(autouse=True)
def no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of an odd name, whose store has a run with a file, and one whose files are elsewhere."""
    root = tmp_path_factory.mktemp("of") / ODD
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        add_run(root, "first")
        elsewhere = add_run(root, "elsewhere")
    with closing(sqlite3.connect(root / "mlflow.db")) as database, database:
        database.execute("UPDATE runs SET artifact_uri = 'file:///elsewhere/mlruns/1/artifacts' WHERE run_uuid = ?", [elsewhere])
    return root


@pytest.fixture
def copied(repository: Path, tmp_path: Path) -> Path:
    """Another folder that ``repository`` was copied to."""
    return Path(shutil.copytree(repository, tmp_path / "copy of it"))


def add_run(root: Path, name: str) -> str:
    """Add a run with a file, and give its id."""
    stored = Store(root).create(name, {"name": name})
    stored.artifacts(Path(__file__), "reports")
    return str(stored._id)


def addresses(root: Path) -> set[str]:
    """Where the experiment and its runs have their files."""
    with closing(sqlite3.connect(root / "mlflow.db")) as database:
        rows = database.execute(
            "SELECT artifact_location FROM experiments WHERE name = 'alexnet' UNION ALL SELECT artifact_uri FROM runs"
        )
        return {address for (address,) in rows}


def files(root: Path) -> int:
    return sum(path.is_file() for path in (root / "mlruns").rglob("*"))


def found(root: Path, name: str) -> set[str]:
    (stored,) = Store(root).runs({"name": name})
    return stored.files("reports")


def test_database_and_files_lie_in_a_folder_of_any_name(repository: Path) -> None:
    assert [path.name for path in repository.parent.iterdir()] == [ODD]
    assert (repository / "mlflow.db").is_file()
    assert files(repository) == 2
    assert found(repository, "first") == {f"reports/{Path(__file__).name}"}


def test_runs_in_a_copied_repository_have_their_files_there(
    repository: Path, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = addresses(repository)
    add_run(copied, "second")
    new, old = ((root / "mlruns").as_uri() for root in (copied, repository))
    assert capsys.readouterr().err == f"note: MLflow's files are now in {new}, not in {old}\n"
    assert (files(copied), files(repository)) == (3, 2)
    shutil.rmtree(copied / "mlruns" / found_id(repository, "first"))  # it is the copy's own file that is found
    assert (found(copied, "first"), found(copied, "second")) == (set(), {f"reports/{Path(__file__).name}"})
    assert addresses(repository) == before
    assert capsys.readouterr().err == ""


def found_id(root: Path, name: str) -> str:
    (stored,) = Store(root).runs({"name": name})
    return str(stored._id)


def test_a_repository_may_be_moved_again_and_leaves_no_folder_behind(copied: Path, tmp_path: Path) -> None:
    add_run(copied, "second")
    moved = copied.rename(tmp_path / "moved")
    add_run(moved, "third")
    assert not copied.exists()
    assert files(moved) == 4
    assert {address for address in addresses(moved) if not address.startswith((moved / "mlruns").as_uri())} == {
        "file:///elsewhere/mlruns/1/artifacts"
    }


def without_the_tag(root: Path, location: str | None = None) -> None:
    """A store as it was before there was a tag, or as somebody else made it."""
    with closing(sqlite3.connect(root / "mlflow.db")) as database, database:
        assert database.execute("DELETE FROM experiment_tags WHERE key = 'alexnet.artifacts'").rowcount == 1
        if location:
            database.execute("UPDATE experiments SET artifact_location = ? WHERE name = 'alexnet'", [location])


def test_a_store_from_before_the_tag_is_known_by_the_runs_that_came_along(copied: Path) -> None:
    without_the_tag(copied)
    add_run(copied, "second")
    assert files(copied) == 3


@pytest.mark.parametrize("tagged", [False, True])
def test_an_address_that_somebody_chose_stays(copied: Path, tmp_path: Path, tagged: bool) -> None:
    chosen = (tmp_path / "large disk").as_uri()
    if tagged:
        with closing(sqlite3.connect(copied / "mlflow.db")) as database, database:
            database.execute("UPDATE experiments SET artifact_location = ? WHERE name = 'alexnet'", [chosen])
    else:
        without_the_tag(copied, chosen)
    add_run(copied, "second")
    assert chosen in addresses(copied)
    assert len(list((tmp_path / "large disk").rglob("*.py"))) == 1


def test_a_database_outside_the_repository_stays_as_it_is(
    repository: Path, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "mlflow.db").symlink_to(copied / "mlflow.db")
    before = addresses(copied)
    Store(other).connect()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{copied}/mlflow.db")
    Store(other).connect()
    assert addresses(copied) == before


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sqlite:///mlflow.db", Address("sqlite:////r/mlflow.db", database=Path("/r/mlflow.db"))),
        ("sqlite:///sub/a%20b.db?timeout=3", Address("sqlite:////r/sub/a b.db?timeout=3", database=Path("/r/sub/a b.db"))),
        ("sqlite+pysqlite:////w/%2541.db", Address("sqlite+pysqlite:////w/%2541.db", database=Path("/w/%41.db"))),
        ("./fs", Address("file:///r/fs", folder=Path("/r/fs"))),
        ("file:./fs", Address("file:///r/fs", folder=Path("/r/fs"))),
        ("file:///w/a%20b", Address("file:///w/a%20b", folder=Path("/w/a b"))),
        ("/w/a#b", Address("file:///w/a%23b", folder=Path("/w/a#b"))),
        ("postgresql+psycopg2://u:p@host/runs", Address("postgresql+psycopg2://u:p@host/runs")),
        ("http://host:5000", Address("http://host:5000", server=True)),
        ("databricks", Address("databricks", server=True)),
        ("databricks://profile", Address("databricks://profile", server=True)),
    ],
)
def test_an_address_means_what_mlflow_takes_it_for_and_starts_at_the_repository(uri: str, expected: Address) -> None:
    assert Address.read(uri, Path("/r")) == expected


@pytest.mark.parametrize(
    ("uri", "remedy"),
    [
        ("localhost:5000", "set MLFLOW_TRACKING_URI=http://localhost:5000"),
        ("127.0.0.1:5000/x", "set MLFLOW_TRACKING_URI=http://127.0.0.1:5000/x"),
        ("[::1]:5000", "set MLFLOW_TRACKING_URI=http://[::1]:5000"),
        ("somebody:secret@host:5000", "@host:5000"),
        ("http://[::1", "set MLFLOW_TRACKING_URI=http://HOST:PORT"),
        ("https://host:port", "set MLFLOW_TRACKING_URI=https://HOST:PORT"),
        ("http:/host:5000", "set MLFLOW_TRACKING_URI=http://HOST:PORT"),
        ("sqlite://runs.db", "set MLFLOW_TRACKING_URI=sqlite:///runs.db"),
        ("sqlite:runs.db", "set MLFLOW_TRACKING_URI=sqlite:///runs.db"),
        ("sqlite://", "set MLFLOW_TRACKING_URI=sqlite:///mlflow.db"),
        ("sqlite:///~/runs.db", f"MLFLOW_TRACKING_URI=sqlite:///{Path.home()}/runs.db"),
        ("~/runs", f"MLFLOW_TRACKING_URI={Path.home()}/runs"),
        ("file:~/runs", f"MLFLOW_TRACKING_URI=file:{Path.home()}/runs"),
        ("postgres://somebody:secret@host/db", "did you mean postgresql:?"),
        ("htp://host:5000", "did you mean http:?"),
        ("s3://bucket/runs", "set MLFLOW_TRACKING_URI to http://HOST:PORT or sqlite:///FILE"),
    ],
)
def test_an_address_that_mlflow_cannot_use_is_refused_with_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, remedy: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    store = Store(tmp_path)  # as a training builds it, which MLflow does not stop
    with pytest.raises(store.failure) as refusal:
        store.connect()
    assert remedy in str(refusal.value)
    assert "secret" not in store.describe(refusal.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("uri", ["mlflow.db", "./old"])
def test_a_database_named_by_its_path_alone_is_refused_with_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    (tmp_path / "old").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    store = Store(tmp_path)
    with pytest.raises(store.failure) as refusal:
        store.connect()
    assert str(refusal.value).endswith(f"set MLFLOW_TRACKING_URI=sqlite:///{tmp_path / uri}")


def test_a_folder_of_files_is_refused_with_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./fs")
    store = Store(tmp_path)
    with pytest.raises(store.failure) as refusal:
        store.connect()
    assert str(refusal.value).endswith(f"set MLFLOW_TRACKING_URI=sqlite:///{tmp_path}/fs/mlflow.db")
    assert list(tmp_path.iterdir()) == []
