"""`python -m workflow.ui` as a command."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from alexnet.errors import UserError
from workflow.ui import refuse_taken


def test_a_port_that_cannot_be_used_is_refused_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} cannot be used"):
            refuse_taken(str(port))
    refuse_taken(str(port))
    for wrong in ("abc", "99999"):
        with pytest.raises(UserError, match=f"PORT: {wrong} is not a port"):
            refuse_taken(wrong)


def test_the_store_is_made_under_its_lock_before_the_server_starts(tmp_path: Path) -> None:
    main = tmp_path / "a%41 what?#1 it's"
    main.mkdir()
    environment = os.environ | {"DVC_ROOT": str(main), "PORT": "0"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    with subprocess.Popen([sys.executable, "-m", "workflow.ui"], env=environment, stdout=subprocess.PIPE, text=True) as ui:
        assert ui.stdout
        assert ui.stdout.readline().startswith("MLflow will be on http://127.0.0.1:")
        with closing(sqlite3.connect(main / "mlflow.db")) as database:
            assert ("alexnet",) in database.execute("select name from experiments").fetchall()
        ui.send_signal(signal.SIGTERM)
        assert ui.wait(120) == 143
    assert (main / "mlflow.db.lock").exists()
    assert list(tmp_path.iterdir()) == [main]
