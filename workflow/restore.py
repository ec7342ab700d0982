"""Restore the files of DVC's own that it had not written to their end when it was killed."""

import json
from contextlib import suppress
from pathlib import Path

from alexnet.files.whole import write_text
from alexnet.output import complain
from stages.provenance import git

LOCK = Path("dvc.lock")
RUNNING = Path(".dvc/tmp/rwlock")
"""What DVC's commands are reading and writing."""
CONFLICT = "<<<<<<<"
"""Where git could not merge two versions."""


def restore() -> None:
    """Restore them if they are damaged, and say so; not while DVC runs, which may be writing them.

    Nothing is lost: DVC has what each stage made in its cache, and takes it from there when it comes to that stage.
    """
    if _whole(LOCK) and _readable(RUNNING):
        return
    from dvc.lock import LockError
    from dvc.repo import Repo

    with suppress(LockError), Repo().lock:
        if not _readable(RUNNING):
            RUNNING.unlink()
        if _whole(LOCK):
            return
        if committed := git("show", f"HEAD:./{LOCK}"):
            write_text(LOCK, committed + "\n")
        else:
            LOCK.unlink()
        now = "is as in the last commit again" if committed else "is removed, as no commit has it"
        complain(f"{LOCK} was damaged, as DVC was killed while it wrote it; it {now}")


def _whole(lock: Path) -> bool:
    from dvc.exceptions import DvcException
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from dvc.utils.strictyaml import load

    try:
        load(str(lock), COMPILED_LOCKFILE_SCHEMA)
    except FileNotFoundError:
        return True
    except DvcException:
        return CONFLICT in lock.read_text(encoding="utf-8", errors="replace")  # its reader is to resolve it
    return True


def _readable(running: Path) -> bool:
    try:
        json.loads(running.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return True
    except ValueError:
        return False
    return True
