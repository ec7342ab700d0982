"""A full disk ends a stage with one line; no file is there in part, and the same command goes on once there is space."""

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import making
from helpers.cards import card_of
from helpers.nets import net_of
from helpers.sample_run import write_run
from helpers.small_disk import leave
from helpers.small_shards import noise, write_split
from ruamel.yaml import YAML

from alexnet.evaluate import results
from alexnet.evaluate.evaluation import Runner, evaluate
from alexnet.evaluate.neighbors import write_nearest
from alexnet.files.whole import write_json
from alexnet.input.shards import Shards
from stages import command, download, paths, pca, preprocess
from stages.command import run

PAGE = 4096
Shipped = Callable[[], dict[str, Any]]


def files(*outs: Path) -> dict[str, str]:
    """A hash of each file in or below ``outs``."""
    found = [path for out in outs for path in ([out] if out.is_file() else sorted(out.rglob("*")))]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in found if path.is_file()}


@pytest.fixture
def inside(disk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The small disk as the repository, with pictures of two classes that are elsewhere."""
    monkeypatch.chdir(disk)
    monkeypatch.setenv("DVC_ROOT", str(disk))
    command.checked_params.cache_clear()
    yield disk
    command.checked_params.cache_clear()


def ended(do: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> str:
    """The last words of what fails as a stage does."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        run(do)
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "free some space" in said, said
    return said


def survives(disk: Path, do: Callable[[], None], outs: list[Path], levels: int, capsys: pytest.CaptureFixture[str]) -> None:
    """``do`` with less space than it needs, several times with more and more, and then with enough."""
    before = shutil.disk_usage(disk).free
    do()
    needed = before - shutil.disk_usage(disk).free
    whole = files(*outs)
    assert whole
    for level in range(levels):
        for out in outs:
            shutil.rmtree(out) if out.is_dir() else out.unlink(missing_ok=True)
        leave(disk, needed * level // levels // PAGE * PAGE)
        ended(do, capsys)
        left = files(*outs)
        assert left.items() < whole.items(), level
        assert not list(disk.rglob("*.part"))
    leave(disk, None)
    do()
    assert files(*outs) == whole


def test_the_stages_of_the_data(inside: Path, images: Path, shipped: Shipped, capsys: pytest.CaptureFixture[str]) -> None:
    params = shipped()
    params["data"] |= {"source": "folder", "root": str(images)}
    params["preprocess"]["size"] = 256
    params["machine"]["workers"] = 1
    with (inside / "params.yaml").open("w") as file:
        YAML().dump(params, file)
    outs = {download: [paths.RAW], pca: [paths.EIGENBASIS, paths.MEAN], preprocess: [paths.SHARDS]}
    for stage, made in outs.items():
        survives(inside, partial(stage.main, stage.Params.read(params)), made, 3, capsys)


def test_the_archive_of_the_digits(inside: Path, shipped: Shipped, capsys: pytest.CaptureFixture[str]) -> None:
    params = shipped()
    with (inside / "params.yaml").open("w") as file:
        YAML().dump(params, file)
    leave(inside, 300_000)
    said = ended(lambda: download.main(download.Params.read(params)), capsys)
    assert said == "error: data/raw/digits.tar: No space left on device; free some space and run this again\n"
    assert files(paths.RAW) == {}


def test_the_evaluation(inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copyfile(Path(__file__).parents[2] / "params.yaml", "params.yaml")
    write_split(inside / "shards", [(jpeg, at % 2, at) for at, jpeg in enumerate(noise(40))], classes=2)
    net = net_of("cifar-four-layer", classes=2)
    card = card_of("cifar-four-layer", ["cat", "dog"])
    shards, runner = Shards(inside / "shards", "train"), Runner(torch.zeros(3, 32, 32), card, torch.device("cpu"), 1)
    found = evaluate(net, shards, runner)

    def write() -> None:
        results.write(paths.EVALUATION, found, net, shards, card)
        write_nearest(paths.EVALUATION, net, shards, shards, runner)
        write_json(paths.METRICS, results.metrics(found, 2))

    survives(inside, write, [paths.EVALUATION, paths.METRICS], 8, capsys)


def test_the_report(inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copyfile(Path(__file__).parents[2] / "params.yaml", "params.yaml")
    write_run(inside)

    def write() -> None:
        making.report(Path())

    survives(inside, write, [paths.FIGURES, paths.PAGE, paths.SUMMARY], 5, capsys)


def test_a_disk_that_is_full_for_messages_too(
    inside: Path, images: Path, shipped: Shipped, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of a stage count even if its messages cannot be printed."""
    params = shipped()
    params["data"] |= {"source": "folder", "root": str(images)}
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        download.main(download.Params.read(params))
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())
    assert (inside / paths.RAW / "manifest.csv").exists()
