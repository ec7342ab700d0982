"""Archives come whole and verified or not at all, and what to do by hand is said in full."""

import gzip
import hashlib
import os
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from alexnet.disk import require_free_space
from alexnet.errors import UserError
from alexnet.sources.fetch import Archive, fetch, unpack

CONTENT = gzip.compress(os.urandom(50_000), mtime=0)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Cut(Quiet):
    """Sends half of what it promises."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // 2])


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Serves a folder with the archive in it on the loopback; gives the address."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served/some.tar.gz").write_bytes(CONTENT)
    servers = []

    def start(handler: type[SimpleHTTPRequestHandler]) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=tmp_path / "served"))
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/some.tar.gz"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_an_archive_is_fetched_once(serve: Callable[..., str], tmp_path: Path) -> None:
    archive = Archive(serve(Quiet), MD5, len(CONTENT))
    path = fetch(archive, tmp_path / "downloads")
    assert path == tmp_path / "downloads/some.tar.gz"
    assert path.read_bytes() == CONTENT
    (tmp_path / "served/some.tar.gz").unlink()
    assert fetch(archive, tmp_path / "downloads") == path


@pytest.mark.parametrize("fault", ["cut", "other", "missing", "nobody"])
def test_a_fetch_that_fails_leaves_nothing_and_says_what_to_do(fault: str, serve: Callable[..., str], tmp_path: Path) -> None:
    md5, url = MD5, serve(Cut if fault == "cut" else Quiet)
    if fault == "other":
        md5 = "0" * 32
    elif fault == "missing":
        (tmp_path / "served/some.tar.gz").unlink()
    elif fault == "nobody":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}/some.tar.gz"
    with pytest.raises(UserError) as error:
        fetch(Archive(url, md5, len(CONTENT)), tmp_path / "downloads")
    for part in ("some.tar.gz", url, md5, str(tmp_path / "downloads"), "dvc repro"):
        assert part in str(error.value)
    assert list((tmp_path / "downloads").iterdir()) == []


def test_a_file_with_a_wrong_checksum_is_refused_and_left_alone(serve: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads/some.tar.gz").write_bytes(b"mine")
    with pytest.raises(UserError, match=f"{hashlib.md5(b'mine').hexdigest()}, not {MD5}"):
        fetch(Archive(serve(Quiet), MD5, len(CONTENT)), tmp_path / "downloads")
    assert (tmp_path / "downloads/some.tar.gz").read_bytes() == b"mine"


def test_unpacking_gives_the_plain_bytes(tmp_path: Path) -> None:
    (tmp_path / "some.tar.gz").write_bytes(CONTENT)
    raw = tmp_path / "data/raw"
    assert unpack(tmp_path / "some.tar.gz", raw).read_bytes() == gzip.decompress(CONTENT)
    assert [path.name for path in raw.iterdir()] == ["some.tar"]


def test_too_little_disk_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"some.tar.gz needs 1000000000.0 GB"):
        fetch(Archive("http://127.0.0.1:9/some.tar.gz", MD5, 10**18), tmp_path / "downloads")
    require_free_space(tmp_path, 1, "nothing")


def test_a_folder_that_cannot_be_written_is_named(serve: Callable[..., str], tmp_path: Path) -> None:
    archive = Archive(serve(Quiet), MD5, len(CONTENT))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))  # fails in the midst of the file, as a full disk does
    try:
        with pytest.raises(UserError, match=r"some.tar.gz cannot be written into .*downloads \(File too large\).*free some"):
            fetch(archive, tmp_path / "downloads")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "downloads").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be written into .*file/downloads \(Not a directory\)"):
        fetch(archive, tmp_path / "file/downloads")
