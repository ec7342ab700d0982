"""``make exp RECIPE=NAME``: run a recipe, or several on top of each other, as a DVC experiment of that name."""

import argparse
import os
import subprocess
import sys
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from alexnet.errors import UserError
from stages import paths
from stages.command import run

RECIPES = Path(__file__).parent.parent / "recipes"
"""Each file holds only what differs from params.yaml, and says in a comment what it is."""


def main() -> None:
    """Read the command line, check the settings that come out, and hand them to ``dvc exp run``."""
    parser = argparse.ArgumentParser(prog="python -m stages.recipe", description=__doc__)
    parser.add_argument("recipes", metavar="NAME[,NAME...]", help="files in recipes/, later ones on top")
    parser.add_argument("--queue", action="store_true", help="queue it for `dvc queue start`")
    parser.add_argument("-S", "--set-param", action="append", default=[], metavar="KEY=VALUE", help="one more setting")
    parser.add_argument("-n", "--name", help="the experiment's name, else the recipes'")
    arguments = parser.parse_args()
    names = arguments.recipes.split(",")
    changes: dict[str, Any] = {}
    for name in names:
        changes |= read(name)
    if not arguments.set_param:
        import_module("alexnet.settings.whole").check(applied(YAML(typ="safe", pure=True).load(paths.PARAMS), changes))
    command = ["dvc", "exp", "run", "--name", arguments.name or "-".join(names), *(["--queue"] if arguments.queue else [])]
    for setting in [*(f"{key}={_word(value)}" for key, value in changes.items()), *arguments.set_param]:
        command += ["--set-param", setting]
    sys.exit(subprocess.run(command, check=False, env=os.environ).returncode)


def read(name: str) -> dict[str, Any]:
    """The settings of a recipe by dotted keys. Raises ``UserError`` where there is no such recipe."""
    known = sorted(path.stem for path in RECIPES.glob("*.yaml"))
    if name not in known:
        near = get_close_matches(name, known, n=1)
        meant = f"did you mean {near[0]}? There are" if near else "there are"
        raise UserError(f"RECIPE={name}: there is no recipe of that name; {meant} {', '.join(known)}")
    return dict(_flat(YAML(typ="safe", pure=True).load(RECIPES / f"{name}.yaml")))


def applied(params: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """``params``, a mapping of mappings, with ``changes`` by dotted keys."""
    whole = {key: dict(value) if isinstance(value, dict) else value for key, value in params.items()}
    for key, value in changes.items():
        section, _, last = key.rpartition(".")
        (whole[section] if section else whole)[last] = value
    return whole


def _flat(mapping: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in mapping.items():
        pairs += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]
    return pairs


def _word(value: Any) -> str:
    """A value as DVC's ``--set-param`` reads it."""
    if isinstance(value, list):
        return f"[{','.join(map(_word, value))}]"
    return "null" if value is None else str(value)


if __name__ == "__main__":
    run(main)
