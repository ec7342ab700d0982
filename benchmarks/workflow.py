"""A `dvc repro` with nothing to do, beside DVC's start, its `dvc status`, and a `dvc repro` of a single stage."""

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from ruamel.yaml import YAML

from benchmarks.measure import Comparison, Contender, parser, rate, take_turns, tell
from benchmarks.paper import PAPER
from stages import paths
from workflow import recipe

ROOT = Path(__file__).parents[1]
SMALL = {"data.source": "digits", "data.limit": 20, "data.blends": 1, "batch_size": 8, "epochs": 1}
"""A training of seconds: how long it takes says nothing of a `dvc repro` that skips it."""
UP_TO_DATE = "Data and pipelines are up to date."


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the table."""
    chosen = parser(__doc__ or "", rounds=5).parse_args(arguments)
    with TemporaryDirectory() as whole, TemporaryDirectory() as least:
        finished(Path(whole))
        one_stage(Path(least))
        tell(measured(Path(whole), Path(least), chosen.rounds), chosen)


def finished(folder: Path) -> None:
    """Make ``folder`` a copy of this repository's files, with settings of its own, in which all stages have run."""
    for name in execute(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    params = recipe.applied(PAPER, recipe.read("cifar10-32") | SMALL)
    YAML().dump(params, folder / paths.PARAMS)
    execute(folder, "git", "init", "-q")
    reproduce(folder)


def one_stage(folder: Path) -> None:
    """Make ``folder`` the least repository that DVC knows: one stage, one file in, one file out."""
    (folder / "a").write_text("a\n")
    (folder / "dvc.yaml").write_text("stages: {copy: {cmd: cp a b, deps: [a], outs: [b]}}\n")
    execute(folder, "git", "init", "-q")
    execute(folder, "dvc", "init", "-q")
    shutil.copy2(ROOT / ".dvc/config", folder / ".dvc/config")
    reproduce(folder)


def reproduce(folder: Path) -> None:
    """Run all stages and commit. Raises ``RuntimeError`` where a second run has something to do after all."""
    execute(folder, "dvc", "repro")
    execute(folder, "git", "add", "-A")
    execute(folder, "git", "-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-qm", "results")
    said = execute(folder, "dvc", "repro")
    if UP_TO_DATE not in said:
        raise RuntimeError(f"a second `dvc repro` should have nothing to do, but it says: {said.strip().splitlines()[-1]}")


def measured(whole: Path, least: Path, rounds: int) -> list[Comparison]:
    """Time the commands in turns."""
    calls = {"ours": (whole, "repro"), "start": (whole, "--version"), "status": (whole, "status"), "least": (least, "repro")}
    contenders: dict[str, Contender] = {name: partial(seconds, *call) for name, call in calls.items()}
    figures = take_turns(contenders, rounds)
    peers = {"start": "`dvc --version`", "status": "`dvc status`", "least": "`dvc repro` of a single stage"}
    what = "`dvc repro` with nothing to do"
    return [Comparison(what, "s", figures["ours"], peer, figures[name], 2, at_most=True) for name, peer in peers.items()]


def seconds(folder: Path, command: str) -> float:
    """What one call of DVC takes."""
    return 1 / rate(partial(execute, folder, "dvc", command), 1)


def execute(folder: Path, *command: str) -> str:
    """Run a command as in an activated environment, and give what it printed. Raises ``RuntimeError`` where it fails."""
    apart = ("DVC_", "MLFLOW_", "GIT_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(apart)}
    environment["DVC_NO_ANALYTICS"] = "1"
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"`{' '.join(command)}` ended with {done.returncode}: {done.stdout[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
