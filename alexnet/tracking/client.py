"""MLflow: the store of the runs, and one run in it; ``background`` has one that nobody waits for.

The only module that imports mlflow, and only when a store is opened, as that takes over a second. Only rank 0 uses it.
"""

import json
import os
import re
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from tqdm import tqdm

from alexnet.tracking.database import DAMAGED, HOME, create, follow_repository
from alexnet.tracking.registry import Registry
from alexnet.tracking.uri import Address, sqlite_uri
from alexnet.tracking.view import TAGS, page

if TYPE_CHECKING:
    import mlflow.entities
    from mlflow import MlflowClient

EXPERIMENT = "alexnet"
ARTIFACTS = "mlruns"

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "90",
}
"""MLflow's defaults send telemetry, print tracebacks, wait four minutes for a dead server, and repeat a request that a slow
server may have obeyed: two runs instead of one."""

PARAMS_AT_ONCE, POINTS_AT_ONCE = 100, 1000
"""At most this many in one request to MLflow."""

HALF_LINE = 150
"""Characters of an error's beginning, and of its end, that are shown."""

REFUSALS = {"INVALID_PARAMETER_VALUE", "RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"}
"""MLflow's codes for a call that it would reject again."""

OTHER_SCHEMA = "out-of-date database schema"
"""What MLflow says of a database that another version of it made."""
DRIVERS = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
"""Packages by the name of their module, if that is another."""

Point = tuple[str, float, int, int]
"""Name, value, step and the time in milliseconds since 1970."""


class Store:
    """Where the runs are: ``$MLFLOW_TRACKING_URI``, else ``mlflow.db`` and ``mlruns/`` in ``root``, the main repository.

    Building it touches nothing; the first use connects. A relative path starts at ``root``, as the working directory of an
    experiment may be a temporary one.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._address = Address.read(os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db", self.root)
        self.uri, self.database = self._address.uri, self._address.database
        self.artifacts = None if self._address.server else (self.root / ARTIFACTS).as_uri()
        """Where the experiment's files are; None if a server decides."""

    @property
    def off(self) -> str:
        """Why runs are not tracked at all; empty if they are."""
        if os.environ.get("ALEXNET_TRACKING") == "off":
            return "ALEXNET_TRACKING is off"
        return "" if find_spec("mlflow") else "MLflow is not installed"

    @property
    def shown(self) -> str:
        """The address without the password that it may hold."""
        return _shown(self.uri)

    def connect(self) -> None:
        """Connect, and create the experiment if it does not exist. Raises what MLflow raises."""
        self._experiment  # noqa: B018

    @property
    def page(self) -> str:
        """The page of the runs in MLflow's UI, from the server's address on."""
        return page(self._experiment[1])

    def runs(self, tags: Mapping[str, str]) -> list["StoredRun"]:
        """The runs that have all of ``tags``, newest first."""
        client, experiment = self._experiment
        # MLflow's filters cannot escape a quote, which git allows in an experiment's name: any character may match, then compare.
        patterns = {key: value.replace("'", "_") for key, value in tags.items()}
        wanted = " and ".join(f"tags.`{key}` LIKE '{pattern}'" for key, pattern in patterns.items())
        alike = client.search_runs([experiment], wanted, order_by=["attributes.start_time DESC"])
        return [StoredRun(client, run, self.artifacts is not None) for run in alike if tags.items() <= run.data.tags.items()]

    def create(self, name: str, tags: Mapping[str, str]) -> "StoredRun":
        """Begin a run."""
        client, experiment = self._experiment
        return StoredRun(client, client.create_run(experiment, run_name=name, tags=dict(tags)), self.artifacts is not None)

    @cached_property
    def _experiment(self) -> tuple["MlflowClient", str]:
        """The client and the id of the experiment."""
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        if self.database:  # a connection that is kept would go on with a file that has been moved away
            os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        if self._address.fault:
            raise MlflowException(self._address.fault)
        if self._address.folder and os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() not in ("true", "1"):
            folder = self._address.folder
            instead = sqlite_uri(folder if folder.suffix == ".db" or folder.is_file() else folder / "mlflow.db")
            raise MlflowException(f"it keeps no runs in plain folders any more; set MLFLOW_TRACKING_URI={instead}")
        # Processes that create one SQLite database at the same time ruin it.
        with FileLock(f"{self.database}.lock", timeout=60) if self.database else nullcontext():
            try:
                if self.database and self.artifacts and not self.database.exists():
                    create(self.database, self.artifacts)
                client = MlflowClient(self.uri)
                found = client.get_experiment_by_name(EXPERIMENT)
            except ImportError as error:
                driver = shlex.quote(DRIVERS.get(error.name or "", error.name or "DRIVER"))
                raise MlflowException(f"its driver is missing; run `python -m pip install {driver}`") from error
            except ValueError as error:  # a variable of MLflow, such as a timeout that is not a number
                raise MlflowException(str(error)) from error
            if found is None:
                tags = TAGS | ({HOME: self.artifacts} if self.artifacts else {})
                try:
                    return client, client.create_experiment(EXPERIMENT, artifact_location=self.artifacts, tags=tags)
                except MlflowException:  # a server may have been asked for it by two at once
                    found = client.get_experiment_by_name(EXPERIMENT)
                    if found is None:
                        raise
            if found.lifecycle_stage == "deleted":
                restore = f"mlflow experiments restore --experiment-id {found.experiment_id}"
                raise MlflowException(
                    f"its experiment {EXPERIMENT} was deleted; run `MLFLOW_TRACKING_URI={shlex.quote(self.uri)} {restore}`"
                )
            for name in TAGS.keys() - found.tags.keys():
                client.set_experiment_tag(found.experiment_id, name, TAGS[name])
            if self.database and self.artifacts and self.database.resolve().is_relative_to(self.root):
                old = follow_repository(self.database, EXPERIMENT, self.artifacts)
                if old:
                    tqdm.write(f"note: MLflow's files are now in {self.artifacts}, not in {old}", file=sys.stderr)
            return client, found.experiment_id

    @property
    def failure(self) -> tuple[type[Exception], ...]:
        """What MLflow, its database and the disk raise when they do not answer or refuse."""
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        return MlflowException, SQLAlchemyError, OSError

    @staticmethod
    def refused(error: Exception) -> bool:
        """Whether trying again is useless: MLflow does not allow the value, has no such run, or the file to send is gone."""
        return isinstance(error, FileNotFoundError) or getattr(error, "error_code", None) in REFUSALS

    def describe(self, error: object) -> str:
        """What failed, on one line, without the password that an address may hold."""
        if self.off:
            return self.off
        line = (str(error) or type(error).__name__).splitlines()[0]
        if OTHER_SCHEMA in line:
            line = (
                "another version of MLflow made its database; if that was an older one, copy the database and run "
                f"`mlflow db upgrade {shlex.quote(self.uri)}`, else set another in MLFLOW_TRACKING_URI"
            )
        elif self.database and "sqlite3." in line and any(words in line for words in DAMAGED):
            file, away = (shlex.quote(str(self.database) + end) for end in ("", ".broken"))
            line = (
                f"its database is damaged or was not created to its end; run `mv {file} {away}`, then "
                "`python -m workflow.track` sends all runs again"
            )
        elif len(line) > 2 * HALF_LINE:  # the cause comes last
            line = f"{line[:HALF_LINE]} … {line[-HALF_LINE:]}"
        return _shown(f"MLflow at {self.uri} failed ({line})")


class StoredRun:
    """One run in the store; each method waits for MLflow and raises what it raises."""

    def __init__(self, client: "MlflowClient", run: "mlflow.entities.Run", local: bool) -> None:
        """``local``: artifacts are on this machine, not on a server."""
        self.registry = Registry(client, run, local)
        self._client, self._run, self._id = client, run, run.info.run_id
        self.name: str = run.info.run_name
        self.status: str = run.info.status
        """RUNNING, FINISHED, FAILED or KILLED, as the run was found."""
        self.found_tags: dict[str, str] = dict(run.data.tags)
        """The tags, as the run was found."""

    def params(self, params: Mapping[str, Any]) -> int:
        """Send the settings that the run did not have when it was found; returns how many. MLflow cannot change one."""
        from mlflow.entities import Param

        seen = self._run.data.params
        new = [Param(name, written(value)) for name, value in params.items() if name not in seen]
        for start in range(0, len(new), PARAMS_AT_ONCE):
            self._client.log_batch(self._id, params=new[start : start + PARAMS_AT_ONCE])
        return len(new)

    def agrees(self, params: Mapping[str, Any]) -> bool:
        """Whether each setting that the run had when it was found has the value in ``params``."""
        return all(name in params and written(params[name]) == value for name, value in self._run.data.params.items())

    def tags(self, tags: Mapping[str, str]) -> None:
        """Set tags."""
        from mlflow.entities import RunTag

        self._client.log_batch(self._id, tags=[RunTag(name, value) for name, value in tags.items()])

    def points(self, points: Sequence[Point]) -> None:
        """Send points of metrics; MLflow keeps a point that is sent twice with the same time once."""
        from mlflow.entities import Metric

        for start in range(0, len(points), POINTS_AT_ONCE):
            batch = [Metric(name, value, when, step) for name, value, step, when in points[start : start + POINTS_AT_ONCE]]
            self._client.log_batch(self._id, metrics=batch)

    def steps(self, name: str) -> set[int]:
        """The steps at which the run has the metric ``name``."""
        return {point.step for point in self._client.get_metric_history(self._id, name)}

    def machine(self) -> dict[str, float]:
        """The load of CPUs, memory, disk, network and GPUs since the last call, by the names of MLflow's UI."""
        monitor = self._monitor
        monitor.collect_metrics()
        values = {f"system/{name}": value for name, value in monitor.aggregate_metrics().items()}
        for part in monitor.monitors:
            part.clear_metrics()
        return values

    @cached_property
    def _monitor(self) -> Any:
        from mlflow.system_metrics import system_metrics_monitor

        monitor: Any = system_metrics_monitor.SystemMetricsMonitor
        return monitor(self._id, tracking_uri=self._client.tracking_uri)

    def age(self) -> int:
        """Seconds since the run began."""
        return int(time.time() - self._run.info.start_time / 1000)

    def artifacts(self, path: Path, folder: str) -> None:
        """Send a file, or the content of a folder, to the run's ``folder``."""
        send = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
        send(self._id, str(path), folder)

    def files(self, folder: str) -> set[str]:
        """The paths of all artifacts in the run's ``folder``."""
        items = self._client.list_artifacts(self._id, folder)
        return {item.path for item in items if not item.is_dir}.union(*(self.files(item.path) for item in items if item.is_dir))

    def reopen(self) -> None:
        """Set the run to RUNNING again."""
        self._client.update_run(self._id, status="RUNNING")

    def end(self, status: str, when: int | None = None) -> None:
        """End the run: FINISHED, FAILED or KILLED, now or at a time in milliseconds since 1970."""
        self._client.set_terminated(self._id, status, when)


def _shown(text: str) -> str:
    """``text`` without names and passwords in addresses."""
    return re.sub(r"//[^/\s]*@", "//", text)


def named_results(results: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of ``reports/metrics.json`` by MLflow's names: ``center_top1_error``, and so on."""
    return {f"{way}_{name}": value for way in ("center", "ten_crop") for name, value in results[way].items()}


def written(value: Any) -> str:
    """A setting's value as params.yaml has it: null, true, 0.01, [conv3]."""
    return value if isinstance(value, str) else json.dumps(value)
