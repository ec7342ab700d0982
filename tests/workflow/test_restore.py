"""What DVC leaves half written when it is killed is restored, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from dvc.utils.strictyaml import load
from helpers.staged import ROOT, params_text

from workflow.restore import CONFLICT, LOCK, RUNNING, restore

COMMITTED = (ROOT / "dvc.lock").read_text()
WRITTEN = COMMITTED.replace("md5: ", "md5: f")


@pytest.fixture(autouse=True)
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a committed lock, in which the test runs."""
    monkeypatch.chdir(tmp_path)
    LOCK.write_text(COMMITTED)
    for command in ("init -q", "add dvc.lock", "-c user.name=test -c user.email=test@localhost commit -qm start"):
        subprocess.run(["git", *command.split()], check=True)
    Repo.init()
    return tmp_path


def test_a_lock_that_was_half_written_is_that_of_the_last_commit(capsys: pytest.CaptureFixture[str]) -> None:
    damaged = 0
    for end in range(0, len(WRITTEN), len(WRITTEN) // 60):
        LOCK.write_text(WRITTEN[:end])
        try:
            load(str(LOCK), COMPILED_LOCKFILE_SCHEMA)
            expected, said = WRITTEN[:end], ""
        except DvcException:
            damaged += 1
            expected = COMMITTED
            said = "dvc.lock was damaged, as DVC was killed while it wrote it; it is as in the last commit again\n"
        restore()
        assert (LOCK.read_text(), capsys.readouterr().err) == (expected, said)
    assert damaged > 10


def test_a_damaged_lock_that_was_never_committed_is_removed(capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run(["git", "rm", "-q", "--cached", "dvc.lock"], check=True)
    subprocess.run(["git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "none"], check=True)
    LOCK.write_text(WRITTEN[:9])
    restore()
    assert not LOCK.exists()
    assert capsys.readouterr().err.endswith("; it is removed, as no commit has it\n")


@pytest.mark.parametrize("content", ["", '{"read": {'])
def test_a_half_written_list_of_what_runs_is_removed(content: str) -> None:
    RUNNING.write_text(content)
    restore()
    assert not RUNNING.exists()


def test_whole_files_a_conflict_and_what_is_missing_stay() -> None:
    RUNNING.write_text("{}")
    for content in (WRITTEN, f"{CONFLICT} HEAD\n{WRITTEN}"):
        LOCK.write_text(content)
        restore()
        assert (LOCK.read_text(), RUNNING.read_text()) == (content, "{}")
    LOCK.unlink()
    restore()
    assert not LOCK.exists()


def test_what_dvc_is_writing_is_left_alone() -> None:
    LOCK.write_text(WRITTEN[:9])
    with Repo().lock:
        restore()
        assert LOCK.read_text() == WRITTEN[:9]
    restore()
    assert LOCK.read_text() == COMMITTED


@pytest.mark.parametrize(("variables", "restored"), [({}, True), ({"DVC_STAGE": "train"}, False)])
def test_the_check_restores_but_not_while_dvc_runs_it(
    clone: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], restored: bool
) -> None:
    (clone / "params.yaml").write_text(params_text())
    LOCK.write_text(WRITTEN[:9])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    subprocess.run([sys.executable, "-m", "workflow.check"], check=True)
    assert (LOCK.read_text() == COMMITTED) == restored
