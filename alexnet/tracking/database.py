"""MLflow's SQLite database: created whole or not at all, recognised if damaged, and with addresses that follow the repository."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from alexnet.tracking.uri import sqlite_uri

HOME = "alexnet.artifacts"
"""The tag of an experiment that repeats the address of its artifacts."""

HOLDERS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""MLflow's tables of things with artifacts, with each column that says where."""

DAMAGED = ("already exists", "duplicate column name", "no such table", "no such column", "not a database", "malformed")
"""What SQLite says as MLflow opens a database whose creation or upgrade was interrupted, or whose file was cut or overwritten."""


def create(database: Path, artifacts: str) -> None:
    """Create MLflow's database in a file beside it, and move it into place. The caller keeps other processes from it.

    MLflow runs migrations for seconds, each of them committed: an interrupted one could neither be used nor continued.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    database = database.resolve()
    database.parent.mkdir(parents=True, exist_ok=True)
    fresh = database.with_name(f"{database.name}.new")
    _remove(fresh)
    try:
        store: Any = SqlAlchemyStore
        store(sqlite_uri(fresh), artifacts).engine.dispose()
        if not database.exists():  # a server that somebody started does not know the lock
            _remove(database)
            fresh.replace(database)
    finally:
        _remove(fresh)


def _remove(database: Path) -> None:
    """Remove a database and its journal, which SQLite would apply to the next one of this name."""
    for end in ("", "-journal", "-wal", "-shm"):
        database.with_name(database.name + end).unlink(missing_ok=True)


def follow_repository(database: Path, experiment: str, artifacts: str) -> str | None:
    """Update the artifact addresses below the experiment's old one in MLflow's SQLite database, all or none.

    MLflow keeps absolute addresses, so in a copied repository runs would use the files of the original. The experiment's tag
    ``HOME`` repeats the address that we set; any other address was set by somebody else and stays. A database without the tag
    counts as ours if the folder ``artifacts`` has some of its runs. Returns the old address, or None if nothing changed.
    """
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        identity, old, tag = connection.execute(
            "SELECT e.experiment_id, artifact_location, value FROM experiments e LEFT JOIN experiment_tags t"
            " ON t.experiment_id = e.experiment_id AND key = ? WHERE name = ?",
            [HOME, experiment],
        ).fetchone()
        if old == artifacts == tag:
            return None
        if old != artifacts:
            if tag:
                ours = tag == old
            else:
                runs = connection.execute("SELECT run_uuid FROM runs WHERE experiment_id = ?", [identity])
                here = Path(url2pathname(urlsplit(artifacts).path))
                ours = Path(urlsplit(old).path).name == here.name and any((here / run).is_dir() for (run,) in runs)
            if not ours:
                return None
            for table, column in HOLDERS:
                connection.execute(
                    f"UPDATE {table} SET {column} = :new || substr({column}, length(:old) + 1)"
                    f" WHERE {column} = :old OR substr({column}, 1, length(:old) + 1) = :old || '/'",
                    {"old": old, "new": artifacts},
                )
        connection.execute(
            "REPLACE INTO experiment_tags (key, value, experiment_id) VALUES (?, ?, ?)", [HOME, artifacts, identity]
        )
        return old if old != artifacts else None
