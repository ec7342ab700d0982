"""A database that another process holds."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from alexnet.tracking.client import Store


@contextmanager
def locked(store: Store) -> Iterator[None]:
    """The database in the hands of another writer."""
    assert store.database
    with closing(sqlite3.connect(store.database, isolation_level=None)) as other:
        other.execute("begin exclusive")
        yield
