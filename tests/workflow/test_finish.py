"""`python -m workflow.finish` asks the trainings that run, and no others."""

from pathlib import Path

import pytest
from filelock import FileLock

from alexnet.errors import UserError
from alexnet.train.folders import LOCK
from alexnet.train.stopping import FINISH, STOP
from workflow.finish import finish


def test_trainings_that_run_are_asked_and_those_that_ended_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    running, ended = (tmp_path / ".checkpoints" / name for name in ("1-2-3", "4-5-6"))
    for folder in (running, ended):
        folder.mkdir(parents=True)
        (folder / LOCK).touch()
    with pytest.raises(UserError, match="no training runs in this repository that saves its state"):
        finish(now=False)
    with FileLock(running / LOCK):
        finish(now=False)
        assert {path.name for path in running.iterdir()} == {LOCK, FINISH}
        finish(now=True)
    assert {path.name for path in running.iterdir()} == {LOCK, FINISH, STOP}
    assert [path.name for path in ended.iterdir()] == [LOCK]
    assert "asked one training to stop after the running epoch" in capsys.readouterr().out
