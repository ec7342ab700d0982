"""A disk of a few megabytes that can be filled."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SIZE = 24 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """The folder at which a new tmpfs is mounted; the test is skipped where that is not allowed."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", place], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here ({done.stderr.strip()}); run the tests as root for that")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def leave(disk: Path, free: int | None) -> None:
    """Fill the disk so that ``free`` bytes are left; None empties it again."""
    filler = disk / ".filler"
    filler.unlink(missing_ok=True)
    if free is not None:
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, shutil.disk_usage(disk).free - free))
