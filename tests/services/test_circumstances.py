"""The workflow gives the same bytes whatever the circumstances."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from helpers.clones import SMALL, activated, clone, reproduced
from helpers.nets import settings_of
from ruamel.yaml import YAML

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone, set to the small net, in which `dvc repro` has run."""
    return reproduced(tmp_path_factory.mktemp("first"))


def test_another_clone_gives_the_same_bytes_whatever_the_circumstances(repository: Path, tmp_path: Path) -> None:
    """All that may differ differs at once.

    Folder, terminal, umask, locale, time zone, hash seed, workers, ranks, MLflow, and user and host if Linux lets us.
    """
    other = tmp_path / "Bücher und 写真"
    other.mkdir()
    clone(other, settings_of("cifar10-32", **SMALL | {"machine.workers": 4, "pipeline.ranks": 1, "pipeline.cuts": ["fc7"]}))
    variables = {"LC_ALL": "C", "TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "1", "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    variables |= {"USER": "ada", "LOGNAME": "ada"}
    at_a_terminal = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
    command = [*elsewhere(), "python", "-c", at_a_terminal, "dvc", "repro", "--force"]
    environment = activated() | variables
    done = subprocess.run(command, cwd=other, env=environment, umask=0o077, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
    made, expected = ({stage: of["outs"] for stage, of in lock(folder).items()} for folder in (other, repository))
    assert made == expected
    for path in sorted((repository / "reports").rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (other / path.relative_to(repository)).read_bytes(), path.name


def elsewhere() -> list[str]:
    """What starts a command as another user on a host of another name; nothing where namespaces are not allowed."""
    rename = ["sh", "-c", 'hostname elsewhere; exec "$@"', "sh"]
    command = ["unshare", "--user", "--map-user=1234", "--map-group=1234", "--keep-caps", "--uts", *rename]
    return [] if subprocess.run([*command, "true"], capture_output=True, check=False).returncode else command


def lock(folder: Path) -> dict[str, Any]:
    stages: dict[str, Any] = YAML(typ="safe").load(folder / "dvc.lock")["stages"]
    return stages
