"""Open MLflow's UI on 127.0.0.1, until Ctrl-C; of a tracking server, say where its UI is."""

import os
import signal
import socket
import subprocess
import sys

from alexnet.errors import UserError
from alexnet.output import say
from alexnet.tracking.client import Store
from stages.command import run
from stages.paths import main_repository

LEAN = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore", "MLFLOW_LOGGING_LEVEL": "ERROR"}
"""Without job workers the UI takes 0.5 GB, with them 2.4 GB."""


def main() -> None:
    """Serve the store of this repository; ``$PORT`` is the port, by default 5000."""
    store, port = Store(main_repository()), os.environ.get("PORT", "5000")
    # The UI creates a missing database without the lock that keeps a training from creating it at the same time.
    try:
        page = store.page
    except store.failure as error:
        raise UserError(f"{store.describe(error)}; fix that, then run this again") from None
    if store.artifacts is None:
        say(f"MLflow is on {store.shown.rstrip('/')}{page}, as MLFLOW_TRACKING_URI says")
        return
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", port, "--workers", "1"]
    command += ["--backend-store-uri", store.uri, "--default-artifact-root", store.artifacts]
    refuse_taken(port)
    for end in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(end, lambda number, _: sys.exit(128 + number))
    say(f"MLflow will be on http://127.0.0.1:{port}{page} in a few seconds; Ctrl-C stops it")
    # In a session of its own it is ended by us, once; Ctrl-C in all of its processes at once prints tracebacks.
    command += ["--uvicorn-opts", "--log-level warning --timeout-graceful-shutdown 1"]
    server = subprocess.Popen(command, env=os.environ | LEAN, start_new_session=True)
    try:
        sys.exit(server.wait())
    except KeyboardInterrupt:
        pass
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()


def refuse_taken(port: str) -> None:
    """Raise ``UserError`` if ``port`` is not a port, or not free."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", int(port)))
    except (ValueError, OverflowError):
        raise UserError(f"PORT: {port} is not a port; use a number from 1024 to 65535") from None
    except OSError as error:
        raise UserError(f"port {port} cannot be used ({error.strerror}); use another: make ui PORT=5001") from None


if __name__ == "__main__":
    run(main)
