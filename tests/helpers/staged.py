"""params.yaml for all tests: git's staged version, so that what `dvc exp run` leaves in the workspace changes none of them."""

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent.parent


@cache
def params_text(root: Path = ROOT) -> str:
    """The staged params.yaml of ``root``; the file as it lies where git has none, as in an unpacked archive."""
    try:
        staged = subprocess.run(["git", "show", ":./params.yaml"], cwd=root, capture_output=True, text=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        return (root / "params.yaml").read_text()
    return staged


def params() -> dict[str, Any]:
    """Its settings, anew at each call."""
    settings: dict[str, Any] = YAML(typ="safe", pure=True).load(params_text())
    return settings
