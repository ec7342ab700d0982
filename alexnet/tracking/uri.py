"""``MLFLOW_TRACKING_URI``, read as MLflow and SQLAlchemy read it."""

import os
import re
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from alexnet.nearest import nearest

SQLITE = ("sqlite", "sqlite+pysqlite")
SERVERS_OF_TABLES = ("postgresql", "mysql", "mssql")
"""Databases that MLflow uses itself; any other scheme belongs to a tracking server."""
SERVERS = ("http", "https", "databricks", "databricks-uc", "uc")
PLUGINS = "mlflow.tracking_store"
"""The group of entry points by which packages add schemes to MLflow."""
WITHOUT_SCHEME = re.compile(r"([^/@\s]+@)?([\w.-]+|\[[\da-fA-F:.]+\]):\d+(/.*)?")
"""``localhost:5000``, which MLflow takes for a scheme, and ``127.0.0.1:5000``, which it takes for a folder."""
IN_HOME = re.compile(r"(|file:(?://)?|sqlite(?:\+pysqlite)?:///)(~[^/]*)")
"""``~/runs`` and ``sqlite:///~/mlflow.db``: no shell replaces the second ``~``, and MLflow none."""


@dataclass(frozen=True)
class Address:
    """Where MLflow's runs are, with paths made absolute."""

    uri: str
    database: Path | None = None
    """The file of an SQLite database."""
    folder: Path | None = None
    """The folder of a store in plain files."""
    server: bool = False
    """Whether it is a tracking server, which decides where artifacts go."""
    fault: str = ""
    """Why MLflow cannot use it, and what to set instead; empty if it may."""

    @classmethod
    def read(cls, uri: str, root: Path) -> Self:
        """The address in ``uri``; a relative path starts at ``root``."""
        uri = uri.strip()
        if fault := _fault(uri):
            return cls(re.sub(r"^[^/@\s]+@", "", uri), fault=fault)  # without a password
        scheme = urlsplit(uri).scheme
        path, mark, options = uri.partition(":///")[2].partition("?")
        if scheme in SQLITE and path:
            database = root / unquote(path)
            return cls(sqlite_uri(database) + mark + options, database=database)
        if scheme in ("", "file") and uri not in SERVERS:
            folder = root / (url2pathname(urlsplit(uri).path) if scheme else uri)
            return cls(folder.as_uri(), folder=folder)
        return cls(uri, server=not scheme.startswith((*SERVERS_OF_TABLES, "sqlite")))


def _fault(uri: str) -> str:
    """Why MLflow cannot use ``uri``, and what to set instead; empty if it may."""
    if WITHOUT_SCHEME.fullmatch(uri):
        return f"it has no scheme; set MLFLOW_TRACKING_URI=http://{uri}"
    if home := IN_HOME.match(uri):
        written = home[1] + os.path.expanduser(home[2]) + uri[home.end() :]
        return f"MLflow takes {home[2]} for a folder of that name; write the home folder out: MLFLOW_TRACKING_URI={written}"
    try:
        parts = urlsplit(uri)
        server = bool(parts.hostname and (parts.port is None or parts.port > 0))
    except ValueError:
        server = False
    scheme = uri.partition(":")[0].lower() if re.match(r"[a-zA-Z][\w+.-]*:", uri) else ""
    if scheme in ("http", "https") and not server:
        return f"it is not a valid address; set MLFLOW_TRACKING_URI={scheme}://HOST:PORT"
    if scheme in SQLITE and not uri.partition(":///")[2].partition("?")[0]:
        file = uri.partition(":")[2].strip("/") or "mlflow.db"
        return f"it names no file; set MLFLOW_TRACKING_URI=sqlite:///{file}"
    known = [*SERVERS, "file", "sqlite", *SERVERS_OF_TABLES, *(plugin.name for plugin in entry_points(group=PLUGINS))]
    if scheme and scheme.partition("+")[0] not in known:
        near = nearest(scheme, known)
        return f"MLflow knows no {scheme}: addresses; " + (
            f"did you mean {near}:?" if near else "set MLFLOW_TRACKING_URI to http://HOST:PORT or sqlite:///FILE"
        )
    return ""


def sqlite_uri(database: Path) -> str:
    """The address of an SQLite database for SQLAlchemy, which decodes ``%41`` and begins a query at ``?``."""
    quoted = str(database).replace("%", "%25").replace("?", "%3F")
    # MLflow does not decode an address that starts with sqlite:///: it would create a folder with the quoted name.
    return f"{'sqlite' if quoted == str(database) else 'sqlite+pysqlite'}:///{quoted}"
