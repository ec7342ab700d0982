"""What docs/team.md needs: an S3 server, PostgreSQL and a bare git repository, all of them real, and the page's own commands."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.clones import execute
from helpers.mlflow_server import free_port
from helpers.staged import ROOT
from helpers.waiting import until

BUCKET = "alexnet"
YOURS = {"KEY": "anna", "SECRET": "secret-of-anna", "PASSPHRASE": "secret-of-mlflow"}
"""What the page leaves to its reader."""
AS_POSTGRES = "runuser -u postgres -- "


class Page:
    """The commands of docs/team.md, with the addresses and keys of this machine in place of the page's."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._text = (ROOT / "docs/team.md").read_text()
        self._words = [(re.escape(there), here) for there, here in addresses.items()]
        self._words += [(rf"\b{word}\b", value) for word, value in YOURS.items()]

    def block(self, start: str) -> str:
        """The one block that begins with ``start``."""
        (commands,) = re.findall(rf"```sh\n({re.escape(start)}.*?)```", self._text, re.DOTALL)
        for there, here in self._words:
            commands = re.sub(there, here, commands)
        return str(commands)

    def run(self, folder: Path, start: str, before: str = "", patience: float = 400) -> str:
        """Run that block in ``folder``, after ``before``, ``patience`` seconds at most; gives what was printed."""
        return execute(folder, "bash", "-ec", f"{before}\n{self.block(start)}", patience=patience)


@contextmanager
def s3_server() -> Iterator[str]:
    """moto's S3 server with a bucket; gives its address. It keeps all in memory, and takes any key."""
    import boto3  # type: ignore[import-untyped]

    port = free_port()
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        until(lambda: reachable(port), every=0.2)
        boto3.client("s3", endpoint_url=address, aws_access_key_id="k", aws_secret_access_key="s").create_bucket(Bucket=BUCKET)
        yield address
    finally:
        server.kill()
        server.wait()


class Postgres:
    """Debian's PostgreSQL with a cluster of its own in ``folder``; never as root, which it refuses."""

    def __init__(self, folder: Path) -> None:
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        if not programs:
            pytest.skip("PostgreSQL is missing; apt-get install postgresql")
        self.port, self.folder, self._programs = free_port(), folder, programs[-1]
        self.owner = "postgres" if os.geteuid() == 0 else None
        """Who runs it; None: who runs the test."""
        if self.owner:
            shutil.chown(folder, self.owner)
        self._call("initdb", "-D", str(folder / "data"), "-U", "postgres", "-A", "scram-sha-256", "--auth-local=trust")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def variables(self) -> str:
        """Shell commands that lead psql to this server, for the role postgres."""
        return f"export PGHOST={self.folder} PGPORT={self.port} PGUSER=postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        sockets = ["-k", str(self.folder), "-p", str(self.port), "-c", "listen_addresses=127.0.0.1"]
        self._process = subprocess.Popen(
            [str(self._programs / "postgres"), "-D", str(self.folder / "data"), *sockets],
            user=self.owner, cwd=self.folder, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        until(lambda: not self._status("pg_isready", "-h", str(self.folder), "-p", str(self.port)))

    def end(self) -> None:
        """End it, and what is connected to it: PostgreSQL's fast shutdown."""
        if self._process:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(60)

    def _status(self, program: str, *arguments: str) -> int:
        command = [str(self._programs / program), *arguments]
        return subprocess.run(command, user=self.owner, cwd=self.folder, capture_output=True, check=False).returncode

    def _call(self, program: str, *arguments: str) -> None:
        assert self._status(program, *arguments) == 0, program


class Team:
    """People with a clone each, a bare git repository and an S3 store."""

    def __init__(self, folder: Path, s3: str) -> None:
        self.folder, self.s3, self.hub = folder, s3, folder / "hub.git"
        self.page = Page({"https://s3.example.org": s3})

    def joins(self, name: str) -> Path:
        """Clone the repository for another person, who has the keys."""
        execute(self.folder, "git", "clone", "-q", str(self.hub), name)
        clone = self.folder / name
        for key, value in (("user.name", name), ("user.email", f"{name}@localhost"), ("commit.gpgsign", "false")):
            execute(clone, "git", "config", key, value)
        (clone / ".venv").symlink_to(sys.prefix)
        self.page.run(clone, "dvc remote modify --local")
        return clone


def reachable(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
