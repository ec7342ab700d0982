"""A tracking server on PostgreSQL and S3, as docs/team.md starts it, and ten trainings at once from two clones."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.harness import end_all_in
from helpers.clones import activated, execute
from helpers.mlflow_server import Server, free_port
from helpers.team import AS_POSTGRES, Page, Postgres, Team
from helpers.waiting import until

from alexnet.files.whole import sha256_of

pytestmark = [pytest.mark.services, pytest.mark.timeout(3600)]

RATES = {"anna": (0.0015, 0.0011, 0.0012, 0.0013, 0.0014), "ben": (0.002, 0.0021, 0.0022, 0.0023, 0.0024)}
STEPS, EPOCHS = 6, 2
"""Of each training; DVC knows none of these rates, or it would not train."""


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    # pytest's folders are closed to others.
    server = Postgres(Path(os.path.realpath(subprocess.check_output(["mktemp", "-d"], text=True).strip())))
    server.start()
    yield server
    server.end()
    subprocess.run(["rm", "-rf", str(server.folder)], check=True)


@pytest.fixture(scope="module")
def page(team: Team, postgres: Postgres) -> Page:
    """The page's commands, with a port for MLflow."""
    port = free_port()
    here = {"mlflow.example.org:5000": f"127.0.0.1:{port}", "localhost:5432": f"127.0.0.1:{postgres.port}"}
    here |= {"https://s3.example.org": team.s3, "--host 0.0.0.0 --port 5000": f"--host 127.0.0.1 --port {port}"}
    return Page(here | ({} if postgres.owner else {AS_POSTGRES: ""}))


@pytest.fixture(scope="module")
def server(team: Team, postgres: Postgres, page: Page) -> Iterator[Server]:
    """MLflow's server, started by the page's commands."""
    page.run(team.folder, AS_POSTGRES if postgres.owner else "psql", before=postgres.variables)
    commands = page.block("export AWS_ACCESS_KEY_ID")
    port = int(commands.split("--port ")[1].split()[0])
    server = Server(team.folder, port, ["bash", "-c", f"exec >/dev/null\nPATH={Path(sys.executable).parent}:$PATH\n{commands}"])
    server.start()
    try:
        server.wait()
        yield server
    finally:
        server.end(signal.SIGTERM)


@pytest.fixture
def queues(anna: Path, ben: Path) -> Iterator[dict[str, Path]]:
    """The clones whose queues are used; a test that fails leaves nothing running there."""
    clones = {"anna": anna, "ben": ben}
    yield clones
    for clone in clones.values():
        end_all_in(clone)


def test_ten_trainings_at_once_lose_nothing_though_both_servers_restart(
    page: Page, postgres: Postgres, server: Server, queues: dict[str, Path]
) -> None:
    address = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{server.port}"}
    for name, clone in queues.items():
        for rate in RATES[name]:
            execute(clone, "dvc", "exp", "run", "--queue", "-n", f"{name}-{rate}", "-S", f"lr={rate}")
        subprocess.run(["dvc", "queue", "start", "-j", "5"], cwd=clone, env=activated() | address, check=True)
    until(lambda: len(found(server)) >= 3, every=1, patience=900)
    server.end(signal.SIGTERM)
    postgres.end()
    postgres.start()
    server.start()
    server.wait()
    until(lambda: all(idle(clone) for clone in queues.values()), every=3, patience=2400)
    for clone in queues.values():
        before = f"export MLFLOW_TRACKING_URI={address['MLFLOW_TRACKING_URI']}"
        page.run(clone, "python -m workflow.track", before=before, patience=1800)
        assert not list((clone / ".unsent").glob("*")), "something is left to send"
    runs = {run.data.tags["mlflow.runName"]: run for run in found(server)}
    assert {f"{name}-{rate}": str(rate) for name, rates in RATES.items() for rate in rates} == {
        name: run.data.params["lr"] for name, run in runs.items() if name.startswith(("anna-", "ben-"))
    }
    for name in (f"{name}-{rate}" for name, rates in RATES.items() for rate in rates):
        complete(server, runs[name])


def complete(server: Server, run: Any) -> None:
    """Assert that all of a training and of its test is on the server."""
    from mlflow import MlflowClient

    client = MlflowClient(f"http://127.0.0.1:{server.port}")
    identity = run.info.run_id
    assert run.info.status == "FINISHED"
    assert sorted(point.step for point in client.get_metric_history(identity, "step_loss")) == list(range(1, STEPS + 1))
    assert sorted(point.step for point in client.get_metric_history(identity, "val_loss")) == list(range(1, EPOCHS + 1))
    (version,) = client.search_model_versions(f"run_id = '{identity}'")
    assert float(version.tags["test_error"]) == run.data.metrics["ten_crop_top1_error"]
    folder = Path(client.download_artifacts(identity, "reports"))
    assert (folder / "index.html").stat().st_size > 10_000
    (model,) = run.outputs.model_outputs
    weights = client.get_logged_model(model.model_id)
    from mlflow.artifacts import download_artifacts

    file = download_artifacts(f"{weights.artifact_location}/data/alexnet.safetensors", tracking_uri=client.tracking_uri)
    assert sha256_of(Path(file)) == run.data.tags["model_sha256"]


def found(server: Server) -> list[Any]:
    """The runs that the server has."""
    from mlflow import MlflowClient

    client = MlflowClient(f"http://127.0.0.1:{server.port}")
    experiment = client.get_experiment_by_name("alexnet")
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


def idle(clone: Path) -> bool:
    """Whether all queued experiments have ended well."""
    said = execute(clone, "dvc", "queue", "status")
    assert "Failed" not in said, said + execute(clone, "dvc", "queue", "logs", said.split()[-1])
    return not any(word in said for word in ("Queued", "Running"))


def test_the_ui_is_the_servers(page: Page, server: Server, anna: Path) -> None:
    make = 'make() { command make --no-print-directory -o .venv/ready "$@"; }'
    said = page.run(anna, "export MLFLOW_TRACKING_URI", before=make)
    assert said.startswith(f"MLflow is on http://127.0.0.1:{server.port}/#/experiments/1/runs?")
    assert len(said.splitlines()) == 1


def test_files_are_on_s3_and_rows_in_postgresql(team: Team, postgres: Postgres, server: Server, ben: Path) -> None:
    count = "select count(*) from metrics"
    rows = execute(ben, "bash", "-c", f'{postgres.variables}; psql -d mlflow -Atc "{count}"')
    assert int(rows) > 10 * STEPS
    keys = execute(
        ben,
        "python",
        "-c",
        f"import boto3; s3 = boto3.client('s3', endpoint_url='{team.s3}', aws_access_key_id='k',"
        " aws_secret_access_key='s'); pages = s3.get_paginator('list_objects_v2').paginate(Bucket='alexnet', Prefix='mlflow/');"
        " print(*(item['Key'] for page in pages for item in page['Contents']), sep='\\n')",
    )
    assert sum(key.endswith("alexnet.safetensors") for key in keys.splitlines()) >= 10
    # His trainings all had the server; the first of the other clone had none.
    assert not (ben / "mlruns").exists() and not (ben / "mlflow.db").exists()
