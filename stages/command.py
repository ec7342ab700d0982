"""What all commands share: the settings' check before any work, and errors in one line."""

import os
import sys
import time
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from alexnet import launcher
from alexnet.config.check import check
from alexnet.config.processor import refuse_emulation
from alexnet.config.section import Section
from alexnet.errors import UserError
from alexnet.files.whole import FULL
from alexnet.output import complain
from stages import paths
from stages.provenance import git

NO_MEMORY = ("can't allocate memory", "cannot allocate memory", "failed to map segment")
"""What the errors of torch's allocator and of the linker say if there is no memory."""


def run(stage: Callable[..., None], section: type[Section] | None = None) -> None:
    """Run a stage as a command: check the repository and all of params.yaml, then call ``stage`` with its own part of it.

    A ``UserError`` is printed as its one line, and so is a system error, such as a full disk or too little memory (exit 2);
    Ctrl-C as one word, or what the ``KeyboardInterrupt`` says (exit 130). Of the ranks of a training, the first to fail is heard.
    """
    try:
        _run(stage, section)
    except SystemExit as end:
        if not launcher.launched():
            raise
        # A rank's interpreter would wait here for threads that wait for its GPU, and that for another rank.
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)


def _run(stage: Callable[..., None], section: type[Section] | None) -> None:
    try:
        if Path.cwd() != paths.main_repository().resolve():
            refuse_shallow()
        params = checked_params()
        if section:  # The stages with settings lead to a training; a trained model can be evaluated on any machine.
            refuse_emulation(params["precision"])
        stage(section.read(params)) if section else stage()
    except UserError as error:
        _end(f"error: {error}", 2, hold=not isinstance(error, launcher.NoAnswer))
    except OSError as error:
        remedy = "free some space" if error.errno in FULL else "fix that"
        _end(f"error: {error.filename or 'a file'}: {error.strerror or error}; {remedy} and run this again", 2)
    except KeyboardInterrupt as stop:
        _end(str(stop) or "interrupted", 130)
    except launcher.ConnectionLost:
        if launcher.await_report():
            sys.exit(1)
        if launcher.nodes() > 1:
            _end("error: another node has ended, whose last line says why, or cannot be reached; start all again to go on", 1)
        _end(traceback.format_exc().rstrip(), 1)
    except Exception as error:
        # The linker and torch have no types of their own for it.
        if isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY):
            limit = "or raise the limit of this shell (`ulimit -v`)"
            _end(f"error: not enough memory; free some, {limit}, and run this again", 2)
        if launcher.launched():
            _end(traceback.format_exc().rstrip(), 1)
        raise


def _end(text: str, status: int, hold: bool = False) -> NoReturn:
    """Exit with ``text`` as what is said last. ``hold``: let the lead, which stops for the same reason, end its run in MLflow."""
    if not launcher.report(text, status):
        complain(text)
    elif hold and launcher.rank() and launcher.node() == 0:
        time.sleep(launcher.HOLD)  # the launcher ends this process when the lead has ended
    else:
        launcher.kill_stopped()
    sys.exit(status)


@cache
def checked_params() -> dict[str, Any]:
    """The mapping of params.yaml, that of the first node if there are several, after all of it has been found valid."""
    params = read_yaml(launcher.settings() or paths.PARAMS)
    check(params)
    return params


def refuse_shallow() -> None:
    """Raise ``UserError`` in a shallow clone: DVC silently stores no experiment there that ran outside the workspace."""
    if git("-C", str(paths.main_repository()), "rev-parse", "--is-shallow-repository") == "true":
        raise UserError(
            f"{paths.main_repository()} is a shallow clone, in which DVC loses what --temp and the queue make; "
            "run `git fetch --unshallow` there, then run this again"
        )


def yaml(source: Path | str) -> Any:
    """Parse YAML 1.2, in which the ``1e-05`` that DVC writes is a number and ``off`` a word."""
    return YAML(typ="safe", pure=True).load(source)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a mapping. Raises ``UserError`` if the file is missing or damaged."""
    try:
        mapping = yaml(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run this from the repository's root") from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise UserError(f"{path}: not valid YAML: fix {f'line {mark.line + 1}' if mark else 'it'}") from None
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise UserError(f"{path}: not valid YAML: {why}; fix it") from None
    if not isinstance(mapping, dict):
        raise UserError(f"{path}: not a mapping; write each setting as `name: value`")
    return mapping
