"""`python -m stages.ui` as a command."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path


def test_the_store_is_made_under_its_lock_before_the_server_starts(tmp_path: Path) -> None:
    environment = os.environ | {"DVC_ROOT": str(tmp_path), "PORT": "0"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    with subprocess.Popen([sys.executable, "-m", "stages.ui"], env=environment, stdout=subprocess.PIPE, text=True) as ui:
        assert ui.stdout
        assert ui.stdout.readline().startswith("MLflow will be on http://127.0.0.1:")
        with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
            assert ("alexnet",) in database.execute("select name from experiments").fetchall()
        ui.send_signal(signal.SIGTERM)
        assert ui.wait(30) == 143
    assert (tmp_path / "mlflow.db.lock").exists()
