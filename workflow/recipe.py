"""``make exp RECIPE=NAME``: run a recipe, or several on top of each other, as a DVC experiment of that name."""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from alexnet.config.check import check
from alexnet.config.section import flat
from alexnet.errors import UserError
from alexnet.nearest import nearest
from alexnet.output import complain, flush, say
from stages import paths
from stages.command import read_yaml, refuse_shallow, yaml
from stages.provenance import git
from workflow.check import check_machine, refuse_uncommitted
from workflow.restore import restore

RECIPES = Path(__file__).parent.parent / "recipes"
"""Each file has settings that go on top of params.yaml; its first line, a comment, says what it is."""


def main() -> None:
    """Read the command line and become ``dvc exp run``. Exit 2 with one line if that would fail."""
    parser = argparse.ArgumentParser(prog="python -m workflow.recipe", description=__doc__, allow_abbrev=False)
    parser.add_argument("recipes", metavar="NAME[,NAME...]", nargs="?", default="", help="files in recipes/, later ones on top")
    parser.add_argument("--queue", action="store_true", help="queue it for `dvc queue start`")
    parser.add_argument("-S", "--set-param", action="append", default=[], metavar="KEY=VALUE", help="one more setting")
    parser.add_argument("-n", "--name", help="the experiment's name, else the recipes'")
    parser.add_argument("-f", "--force", action="store_true", help="run all stages again and replace the experiment")
    try:
        try:
            arguments, others = parser.parse_known_args()
        finally:
            flush()
        names = [name.strip() for name in arguments.recipes.split(",") if name.strip()]
        if not names:
            say(listing())
            return
        refuse_uncommitted()
        refuse_shallow()
        restore()
        command = experiment(names, arguments.set_param, arguments.name, arguments.queue, arguments.force)
    except UserError as error:
        complain(f"error: {error}")
        sys.exit(2)
    sys.stderr.flush()
    os.execvp(command[0], command + others)


def listing() -> str:
    """A line for each recipe: its name, and the first line of the file."""
    lines = [f"  {name:<{max(map(len, known()))}}  {title(name)}" for name in known()]
    return "\n".join(["make exp RECIPE=NAME runs one of these, RECIPE=NAME,NAME the second on top of the first:", *lines])


def title(name: str) -> str:
    """What a recipe is: the first line of its file."""
    return (RECIPES / f"{name}.yaml").read_text(encoding="utf-8").split("\n")[0].lstrip("# ")


def experiment(names: list[str], more: list[str], name: str | None, queue: bool, force: bool) -> list[str]:
    """The command for DVC: the recipes ``names``, then the settings ``more``, each as KEY=VALUE.

    Unless queued, it runs in a temporary folder (``--temp``); docs/design.md says why. Raises ``UserError`` if a recipe or a
    setting is not valid, or all of them together are not, or if there is an experiment of that name.
    """
    params = read_yaml(paths.PARAMS)
    legal = flat(params)
    settings: dict[str, str] = {}
    for recipe in names:
        for key, value in read(recipe).items():
            refuse_unknown(f"recipes/{recipe}.yaml", key, legal)
            settings[key] = f"{key}={word(value)}"
    for text in more:
        key = text.partition("=")[0]
        refuse_unknown(f"-S {text}", key, legal)
        settings[key] = text
    _mention_other_changes(legal, settings)
    sweep = _outcomes(list(settings.values()), more)
    if len(sweep) > 1 and not queue:
        raise UserError(f"{_given(more)}: this makes {len(sweep)} experiments; queue them with QUEUE=1, or write a list as [1,2]")
    where = " ".join([f"RECIPE={','.join(names)}", *([_given(more)] if more else [])])
    for outcome in sweep:
        try:
            check(outcome)
            check_machine(outcome)
        except UserError as error:
            raise UserError(str(error).replace("params.yaml: ", f"{where}: ")) from None
    name = name or "-".join(names)
    if not force:
        _refuse_taken([f"{name}-{number}" for number in range(1, len(sweep) + 1)] if len(sweep) > 1 else [name])
    command = ["dvc", "exp", "run", "--name", name, "--queue" if queue else "--temp", *(["--force"] if force else [])]
    return command + [word for setting in settings.values() for word in ("--set-param", setting)]


def known() -> list[str]:
    """The names of all recipes."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def read(name: str) -> dict[str, Any]:
    """The settings of a recipe by dotted keys. Raises ``UserError`` if there is no such recipe."""
    if name not in known():
        near = nearest(name, known(), cutoff=0.0)
        raise UserError(f"RECIPE={name}: there is no such recipe; did you mean {near}? `make exp` lists them")
    return flat(read_yaml(RECIPES / f"{name}.yaml"))


def shipped() -> dict[str, Any]:
    """The shipped settings: params.yaml as git has it staged, whatever an experiment left in the workspace."""
    text = git("-C", str(RECIPES.parent), "show", f":./{paths.PARAMS}")
    return yaml(text) if text else read_yaml(RECIPES.parent / paths.PARAMS)


def applied(params: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """``params``, a mapping of mappings, with ``changes`` by dotted keys."""
    whole = {key: dict(value) if isinstance(value, dict) else value for key, value in params.items()}
    for key, value in changes.items():
        section, _, last = key.rpartition(".")
        (whole[section] if section else whole)[last] = value
    return whole


def _outcomes(settings: list[str], more: list[str]) -> list[dict[str, Any]]:
    """params.yaml as DVC will write it; several for several values, as in ``lr=0.01,0.02``."""
    from dvc.exceptions import InvalidArgumentError
    from dvc.utils.hydra import apply_overrides, get_hydra_sweeps
    from hydra.errors import HydraException

    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / paths.PARAMS.name
        try:
            for combination in get_hydra_sweeps({str(copy): settings}):
                shutil.copy(paths.PARAMS, copy)
                apply_overrides(copy, combination[str(copy)])
                outcomes.append(read_yaml(copy))
        except (HydraException, InvalidArgumentError):
            raise UserError(
                f"{_given(more)}: DVC cannot read that; write KEY=VALUE, with quotes around a value that has more than "
                "letters, digits and /.-_, as in -S \"data.root='/my (old) photos'\""
            ) from None
    return outcomes


def _runs(pid: int) -> bool:
    import psutil  # type: ignore[import-untyped]

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _refuse_taken(names: list[str]) -> None:
    from dvc.repo import Repo

    queue = Repo().experiments.celery_queue
    running = {entry.name: queue.proc.get(entry.stash_rev) for entry in queue.iter_active()}
    waiting = {entry.name for entry in queue.iter_queued()} | running.keys()
    head = git("rev-parse", "HEAD")
    for name in names:
        # To DVC, an experiment whose worker was killed runs forever.
        if (process := running.get(name)) and not _runs(process.pid):
            raise UserError(
                f"{name} was killed while it ran; `dvc queue kill {name} && dvc queue remove {name}`, "
                "then run this again: it goes on from there"
            )
        if name in waiting:
            raise UserError(f'{name} is already in the queue (`dvc queue status`); rename this one with ARGS="-n NAME"')
        if git("for-each-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}"):
            raise UserError(
                f'there already is an experiment {name}; rename this one with ARGS="-n NAME", or `dvc exp remove {name}` first, '
                "or replace it and run all stages again with ARGS=-f"
            )


def _mention_other_changes(params: dict[str, Any], settings: dict[str, str]) -> None:
    """Print a line if params.yaml is not the last commit's: the recipe does not undo that."""
    committed = flat(yaml(git("show", f"HEAD:{paths.PARAMS}")) or params)
    kept = [f"{key}: {word(value)}" for key, value in params.items() if committed.get(key) != value and key not in settings]
    if kept:
        undo = f"`git checkout HEAD -- {paths.PARAMS}` undoes it"
        print(f"note: {paths.PARAMS} differs from the last commit in {', '.join(kept)}; that stays ({undo})", file=sys.stderr)


def refuse_unknown(where: str, key: str, legal: dict[str, Any]) -> None:
    """Raise ``UserError``, which begins with ``where``, if ``key`` is none of the ``legal`` settings."""
    if key not in legal:
        raise UserError(f"{where}: unknown setting {key}; did you mean {nearest(key, legal, cutoff=0.0)}?")


def _given(more: list[str]) -> str:
    return " ".join(f"-S {text}" for text in more)


def word(value: Any) -> str:
    """A value as DVC's ``--set-param`` reads it: JSON, but with single quotes around strings."""
    if isinstance(value, list):
        return f"[{','.join(map(word, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{word(part)}' for key, part in value.items())}}}"
    if not isinstance(value, str):
        return json.dumps(value)
    return "'" + value.replace("'", "\\'") + "'"


if __name__ == "__main__":
    main()
