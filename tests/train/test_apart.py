"""Ranks of machines without a common folder: the first has all states, and all hear of a wish to stop."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers.stopped import Result, recipe, train, undisturbed
from helpers.waiting import until
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from alexnet import launcher
from alexnet.config.training import Training
from alexnet.pipeline.distributed import Ranks
from alexnet.train.stopping import Stopping, ask


@contextmanager
def on_two_nodes(ranks: Ranks, port: int) -> Iterator[None]:
    """As if torchrun had started the ranks on two machines, and the store of the first were at ``port``."""
    place = {
        "RANK": ranks.rank,
        "WORLD_SIZE": 2,
        "GROUP_RANK": ranks.rank,
        "GROUP_WORLD_SIZE": 2,
        launcher.LAUNCHER: os.getppid(),
    }
    before = dict(os.environ)
    os.environ |= {name: str(value) for name, value in place.items()} | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def train_apart(ranks: Ranks, settings: dict[str, Any], data: Path, roots: list[Path], stop: int, port: int) -> Result:
    with on_two_nodes(ranks, port):
        return train(ranks, settings, data, roots[ranks.rank], stop)


def hears(ranks: Ranks, folders: list[Path], settings: dict[str, Any], port: int) -> tuple[bool, bool]:
    """What the rank hears after the first was asked to end the epoch, and after the second was to stop at once."""
    with on_two_nodes(ranks, port):
        stopping = Stopping(folders[ranks.rank], Training.read(settings), ranks)
        with stopping.listening():
            heard = []
            for asked, words in enumerate((stopping.after_epoch, stopping.now)):
                ranks.gather(0)
                heard.append(words())
                ranks.gather(0)
                if ranks.rank == asked:
                    ask(folders[asked], at_once=bool(asked))
                until(words, patience=20)
        return heard[0], heard[1]


@pytest.fixture(scope="module")
def store() -> TCPStore:
    return TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


@pytest.mark.parametrize("common", [False, True])
def test_the_first_machine_has_all_states_and_the_other_none(
    pair: Any, store: TCPStore, tiny: Path, tmp_path: Path, common: bool
) -> None:
    epochs, _ = undisturbed(recipe(), tiny)
    two, roots = recipe(**{"pipeline.ranks": 2, "pipeline.cuts": ["conv3"]}), [tmp_path / "first", tmp_path / "second"]
    if common:
        roots[0].mkdir()
        roots[1].symlink_to(roots[0])
    pair(train_apart, two, tiny, roots, 4, store.port)
    kept = {path.name for path in roots[0].glob("*/*/*")}
    assert kept == {"rank-0.safetensors", "rank-1.safetensors", "state.json"}
    assert common or not roots[1].exists()
    first, second = pair(train_apart, two, tiny, roots, 10, store.port)
    assert first[0] == second[0] == epochs and first[2] == second[2] == [4, 5, 6, 7, 8, 9]


def test_a_machine_hears_what_another_is_asked(pair: Any, store: TCPStore, tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    assert pair(hears, folders, recipe(), store.port) == [(False, False)] * 2
    assert all(len(list(folder.iterdir())) == 1 for folder in folders)
