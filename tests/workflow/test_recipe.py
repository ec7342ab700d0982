"""Recipes are what they say, train, and become DVC's experiments."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.clones import SMALL, clone
from helpers.nets import net_of, settings_of
from helpers.staged import params_text
from ruamel.yaml import YAML
from safetensors.torch import save_model

from alexnet.config.check import check
from alexnet.config.machine import Machine
from alexnet.config.section import flat
from alexnet.config.training import Training
from alexnet.errors import UserError
from alexnet.files.eigenbasis import Eigenbasis
from alexnet.input.shards import Shards
from alexnet.models.numerics import prepare_process
from alexnet.pipeline.distributed import Ranks
from alexnet.pipeline.engine import StepStats
from alexnet.pipeline.timing import StepTiming
from alexnet.tracking.client import written
from alexnet.train.checkpoint import Checkpoint
from alexnet.train.session import Inputs, Session
from alexnet.train.trainer import Silent
from workflow import recipe

ROOT = Path(__file__).parents[2]
RECIPES = sorted(path.stem for path in (ROOT / "recipes").iterdir())
ABLATIONS = ["no-color-noise", "no-dropout", "no-lrn", "one-tower", "plain-pooling", "tanh"]
TINY = SMALL | {"epochs": 1, "pipeline.ranks": 1}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_begins_with_a_sentence_and_names_settings_that_fit(name: str, shipped: Any) -> None:
    text = (ROOT / f"recipes/{name}.yaml").read_text()
    first = text.split("\n")[0]
    assert first.startswith("# ") and first.endswith(".")  # as `make exp` shows it
    settings = flat(YAML(typ="safe", pure=True).load(text))
    assert settings
    assert settings.keys() <= flat(shipped()).keys()
    check(settings_of(name))


def test_other_defaults_change_no_recipe() -> None:
    """The stored table has the settings that each recipe comes to; an ablation is one setting on top of any training."""
    with (Path(__file__).parent / "recipes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    trainings = rows[0].keys() - {"setting"}
    assert {*trainings, *ABLATIONS} <= set(RECIPES)
    for name in trainings:
        settings = flat(settings_of(name))
        assert settings["precision"] == "float32"
        assert {row["setting"]: row[name] for row in rows} == {row["setting"]: written(settings[row["setting"]]) for row in rows}
    assert [name for name in ABLATIONS if len(recipe.read(name)) != 1] == []


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_fits_the_shipped_settings_and_the_training_on_cifar(name: str) -> None:
    for below in ("cifar10-224", "cifar10-32", "paper-imagenet", "authors-code"):
        check(settings_of(below, **recipe.read(name)))


class Enough(Exception):
    """Ends a training after some steps."""


class TwoSteps(Silent):
    """Notes the losses of two steps, then ends the training."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def step(self, epoch: int, step: int, count: int, stats: StepStats, timing: StepTiming) -> None:
        self.losses.append(stats.loss)
        if step == 2:
            raise Enough


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains(name: str, small: Path, tiny: Path, tmp_path: Path) -> None:
    """Two steps of two images: finite losses, and every tensor of the net moves but for frozen layers.

    An ablation takes them in a small net.
    """
    few: dict[str, Any] = {"batch_size": 2, "precision": "float32"}
    if recipe.read(name).get("init_from"):
        few["init_from"] = str(tmp_path / "start.safetensors")
        save_model(net_of(settings_of(name)["model"]), few["init_from"])
    few |= {"pipeline.ranks": 1, "pipeline.microbatches": 1, "machine.workers": 1}
    settings = settings_of("cifar10-32", **recipe.read(name), **few) if name in ABLATIONS else settings_of(name, **few)
    data = {256: small, 32: tiny}[settings["preprocess"]["size"]] / "data"
    threads = torch.get_num_threads()
    prepare_process(threads=1)
    inputs = Inputs(
        Shards(data / "shards", "train"),
        Shards(data / "shards", "val"),
        Eigenbasis.read(data / "eigenbasis.json"),
        np.load(data / "mean.npy"),
    )
    ranks = Ranks(0, 1, torch.device("cpu"))
    session = Session(Training.read(settings), Machine.read(settings["machine"]), inputs, ranks)
    before = {key: weight.clone() for key, weight in session.engine.full_state_dict().items()}
    observer = TwoSteps()
    with pytest.raises(Enough):
        session.trainer.fit(observer, Checkpoint(None, 0, ranks))
    torch.set_num_threads(threads)
    assert np.isfinite(observer.losses).all() and len(observer.losses) == 2
    after = session.engine.full_state_dict()
    still = {key.partition(".")[0] for key, weight in before.items() if torch.equal(weight, after[key])}
    assert still == set(settings["freeze"])
    assert all(weight.isfinite().all() for weight in after.values())


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of one commit, set to a few digits, whose `make` finds this environment."""
    folder = clone(tmp_path_factory.mktemp("recipes"), settings_of(None, **SMALL))
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/activate").write_text(f'PATH="{Path(sys.executable).parent}:$PATH"\n')
    (folder / ".venv/ready").touch()
    return folder


def make_exp(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    drop = ("DVC_", "MLFLOW_", "GIT_", "OMP_", "MAKE")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(drop)}
    command = ["make", "--no-print-directory", "exp", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=400)


def shown(folder: Path) -> dict[str, Any]:
    """DVC's experiments by name, each with its settings."""
    program = "import dvc.cli; dvc.cli.main(['exp', 'show', '--json'])"
    said = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True).stdout
    experiments = [run for commit in json.loads(said) for run in commit["experiments"] or []]
    return {run["revs"][0]["name"]: run["revs"][0]["data"]["params"]["params.yaml"]["data"] for run in experiments}


@pytest.mark.timeout(600)
def test_make_exp_gives_an_experiment_of_the_recipes_name_and_settings(repository: Path) -> None:
    standing = (repository / "params.yaml").read_bytes()
    # As far as preprocess: the later stages cost a minute and change neither name nor settings.
    tiny = " ".join(["ARGS=preprocess", *(f"-S {key}={str(value).replace(chr(39), '')}" for key, value in TINY.items())])
    done = make_exp(repository, "RECIPE=cifar10-32,no-lrn", tiny)
    assert done.returncode == 0, done.stderr[-3000:]
    assert flat(shown(repository)["cifar10-32-no-lrn"]) == flat(settings_of("cifar10-32", lrn="off", **TINY))
    assert (repository / "params.yaml").read_bytes() == standing  # the next recipe begins where this one began

    again = make_exp(repository, "RECIPE=cifar10-32,no-lrn", tiny)
    assert again.returncode == 2
    assert again.stderr.startswith("error: there already is an experiment cifar10-32-no-lrn; rename this one with ARGS=")
    assert again.stdout == ""


def test_a_queued_experiment_has_the_recipes_name_and_is_refused_a_second_time(repository: Path) -> None:
    done = make_exp(repository, "RECIPE=torchvision", "QUEUE=1", "ARGS=-S lr=0.001,0.00005")
    assert done.returncode == 0, done.stderr[-3000:]
    queued = shown(repository)
    assert [queued[f"torchvision-{number}"]["lr"] for number in (1, 2)] == [0.001, 0.00005]
    assert all(queued["torchvision-1"][switch] is None for switch in ("pool", "lrn", "lrn_scope", "towers"))
    again = make_exp(repository, "RECIPE=torchvision", "QUEUE=1", "ARGS=-S lr=0.001,0.00005")
    assert again.returncode == 2
    assert again.stderr.startswith("error: torchvision-1 is already in the queue")


def test_make_exp_alone_lists_every_recipe_with_what_it_is(repository: Path) -> None:
    done = make_exp(repository)
    assert done.returncode == 0
    lines = done.stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines] == RECIPES
    for line, name in zip(lines, RECIPES, strict=True):
        assert line.split(maxsplit=1)[1] == (ROOT / f"recipes/{name}.yaml").read_text().split("\n")[0].removeprefix("# ")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that holds the shipped params.yaml alone."""
    (tmp_path / "params.yaml").write_text(params_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("recipes", "more", "words"),
    [
        ("tanh,no-lm", [], "RECIPE=no-lm: there is no such recipe; did you mean no-lrn? `make exp` lists them"),
        ("tanh", ["momentun=0.8"], "-S momentun=0.8: unknown setting momentun; did you mean momentum?"),
        ("tanh", ["pipeline.rank=1"], "-S pipeline.rank=1: unknown setting pipeline.rank; did you mean pipeline.ranks?"),
        ("tanh", ["lr=-1"], "RECIPE=tanh -S lr=-1: lr: -1 is not valid: it should be greater than 0"),
        ("tanh", ["lr=fast"], "RECIPE=tanh -S lr=fast: lr: fast is not valid"),
        ("tanh", ["lr"], "-S lr: DVC cannot read that; write KEY=VALUE"),
        (
            "tanh",
            ["data.root=/my (old) photos"],
            "-S data.root=/my (old) photos: DVC cannot read that; write KEY=VALUE, with quotes",
        ),
        ("tanh", ["lr=0.1,0.2"], "-S lr=0.1,0.2: this makes 2 experiments; queue them with QUEUE=1"),
        ("cifar10-32,tensorflow-46m", [], "RECIPE=cifar10-32,tensorflow-46m: crop_size: 224 is larger than preprocess.size: 32"),
        (
            "cifar-four-layer,no-dropout",
            [],
            "RECIPE=cifar-four-layer,no-dropout: dropout: off is not valid: cifar-four-layer has no",
        ),
    ],
)
def test_what_could_not_end_well_is_refused_in_one_line(here: Path, recipes: str, more: list[str], words: str) -> None:
    with pytest.raises(UserError) as refusal:
        recipe.experiment(recipes.split(","), more, name=None, queue=False, force=True)
    assert str(refusal.value).startswith(words)
    assert "\n" not in str(refusal.value)


def test_the_last_recipe_wins_and_more_settings_win_over_recipes(here: Path) -> None:
    def settings(*recipes: str, more: tuple[str, ...] = ()) -> list[str]:
        command = recipe.experiment(list(recipes), list(more), name=None, queue=False, force=True)
        return sorted(word for word in command if word.startswith(("lr=", "lr_schedule=", "weight_decay=")))

    assert settings("pytorch-t4", "tensorflow-v100") == ["lr=5e-05", "lr_schedule='constant'", "weight_decay=0.0"]
    assert settings("tensorflow-v100", "pytorch-t4") == ["lr=0.0001", "lr_schedule='step'", "weight_decay=0.0"]
    assert settings("tensorflow-v100", more=("lr=0.002",)) == ["lr=0.002", "lr_schedule='constant'", "weight_decay=0.0"]


def test_a_recipe_mends_settings_that_are_refused_as_they_stand(here: Path) -> None:
    """As the refusal itself says: `make exp RECIPE=cifar10-32` sets all that alexnet-32 needs."""
    text = (here / "params.yaml").read_text()
    (here / "params.yaml").write_text(text.replace("model: alexnet\n", "model: alexnet-32\n"))
    with pytest.raises(UserError, match="RECIPE=cifar10-32"):
        check(YAML(typ="safe", pure=True).load((here / "params.yaml").read_text()))
    recipe.experiment(["cifar10-32"], [], name=None, queue=False, force=True)


def test_settings_that_the_last_commit_has_not_are_reported(
    repository: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    standing = (repository / "params.yaml").read_text()
    (repository / "params.yaml").write_text(standing.replace("lrn: paper", "lrn: off").replace("momentum: 0.9", "momentum: 0.8"))
    try:
        recipe.experiment(["tanh"], ["momentum=0.9"], name=None, queue=False, force=True)
        with pytest.raises(UserError):  # told of a refusal too, which it may be the reason of
            recipe.experiment(["tensorflow-46m"], ["momentum=0.9", "lrn=no"], name=None, queue=False, force=True)
        with pytest.raises(UserError):
            recipe.experiment(["tanh"], ["momentum=7"], name=None, queue=False, force=True)
    finally:
        (repository / "params.yaml").write_text(standing)
    note = "note: params.yaml differs from the last commit in lrn: 'off'; that stays "
    assert capfd.readouterr().err == 2 * f"{note}(`git checkout HEAD -- params.yaml` undoes it)\n"
