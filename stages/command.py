"""What all stage commands share: the settings' check before any work, and errors in one line."""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from alexnet import ranks
from alexnet.errors import UserError
from alexnet.settings.section import Section
from stages import paths


def run(stage: Callable[..., None], section: type[Section] | None = None) -> None:
    """Run a stage as a command: check the repository and all of params.yaml, then call ``stage`` with its own part of it.

    A ``UserError`` is printed as its one line, and so is an error of the system's, such as a full disk (exit 2); Ctrl-C as
    one word (exit 130).
    """
    lead = ranks.rank() == 0
    try:
        if Path.cwd() != main_repository().resolve():
            refuse_shallow()
        params = checked_params()
        if section:  # The stages with settings lead to a training; a trained model can be tested on any machine.
            importlib.import_module("alexnet.settings.processor").refuse_emulation(params["precision"])
        stage(section.read(params)) if section else stage()
    except UserError as error:
        if not lead:  # all ranks of a training stop for the same reason; one says it, in its own time
            sys.exit(0)
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"error: {error.filename or 'a file'}: {error.strerror or error}; mend that and run this again", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        if lead:
            print("interrupted", file=sys.stderr)
        sys.exit(130)


@cache
def checked_params() -> dict[str, Any]:
    """The mapping of params.yaml, after all of it has been found valid.

    The check is imported by name: it can only refuse, so no byte of an out depends on it, and a stage need not run again
    when another stage's settings change.
    """
    params: dict[str, Any] = read_yaml(paths.PARAMS)
    importlib.import_module("alexnet.settings.whole").check(params)
    return params


def refuse_shallow() -> None:
    """Raise ``UserError`` in a shallow clone: DVC silently stores no experiment there that ran outside the workspace."""
    if git("-C", str(main_repository()), "rev-parse", "--is-shallow-repository") == "true":
        raise UserError(
            f"{main_repository()} is a shallow clone, in which DVC loses what --temp and the queue make; "
            "run `git fetch --unshallow` there, then run this again"
        )


def read_yaml(path: Path) -> Any:
    """Read YAML 1.2, where the ``1e-05`` that DVC writes is a number and ``off`` a word. Raises ``UserError``."""
    try:
        return YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run from the folder that holds it, the repository's root") from None
    except YAMLError as error:
        where = getattr(error, "problem_mark", None)
        raise UserError(f"{path}{f', line {where.line + 1}' if where else ''}: this is no YAML; mend it") from None


def main_repository() -> Path:
    """The main repository, from DVC's temporary experiment folders too."""
    return Path(os.environ.get("DVC_ROOT") or Path.cwd())


def git(*arguments: str) -> str:
    """What git answers; empty before the first commit and without git, for which a training need not stop."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return ""
