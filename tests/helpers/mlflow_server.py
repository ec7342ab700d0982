"""A real MLflow server that can be killed, and a proxy in front of it that delays or spoils its answers."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from helpers.waiting import until

FAILURE = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def free_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


class Server:
    """MLflow's tracking server, whose runs and files lie in ``folder``, or as ``command`` starts it."""

    def __init__(self, folder: Path, port: int, command: Sequence[str] = ()) -> None:
        self.port = port
        store = ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder / "artifacts")]
        address = ["--host", "127.0.0.1", "--port", str(port)]
        self._command = list(command) or [sys.executable, "-m", "mlflow", "server", *address, "--workers", "1", *store]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it answers some seconds later."""
        quiet = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self._process = subprocess.Popen(self._command, env=quiet, stderr=subprocess.DEVNULL, start_new_session=True)

    def wait(self) -> None:
        """Wait until it answers; a new database takes a minute and more where other programs use the cores."""

        def answers() -> bool:
            assert self._process and self._process.poll() is None, "the server has ended"
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5):
                return True
            return False

        until(answers, every=0.2, patience=300)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all of its processes."""
        assert self._process
        os.killpg(self._process.pid, number)

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Kill it, or end it by another signal."""
        if self._process and self._process.poll() is None:
            self.send(signal.SIGCONT)
            self.send(number)
            self._process.wait(120)


class Proxy:
    """Passes connections on to a port."""

    def __init__(self, listening: socket.socket, port: int) -> None:
        self.port: int = listening.getsockname()[1]
        self.delay = 0.0
        """Seconds before an answer is passed on."""
        self.fails = False
        """Whether the answer to each request is 500, without asking the server."""
        self._listening, self._to = listening, port
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listening.accept()[0],), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            if self.fails:
                client.recv(1 << 16)
                client.sendall(FAILURE)
                return
            with socket.create_connection(("127.0.0.1", self._to)) as server:
                threading.Thread(target=self._pass_on, args=(client, server, False), daemon=True).start()
                self._pass_on(server, client, True)

    def _pass_on(self, source: socket.socket, sink: socket.socket, answer: bool) -> None:
        with suppress(OSError):
            while (some := source.recv(1 << 16)) and not (self.fails and answer):
                if answer:
                    time.sleep(self.delay)
                sink.sendall(some)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    """A proxy in front of a port of this machine."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield Proxy(listening, port)
