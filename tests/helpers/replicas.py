"""Trainings in replicas, on ranks that have joined each other."""

from pathlib import Path
from typing import Any

from helpers import stopped
from helpers.training import Trained, trained

from alexnet.pipeline.distributed import Ranks, in_replicas


def trained_in_replicas(ranks: Ranks, settings: dict[str, Any], folder: Path) -> tuple[int, *Trained]:
    """The number of stages, and what a training gives on this rank."""
    places = in_replicas(ranks, settings["pipeline"]["replicas"], patience=10)
    return places.stages, *trained(places, settings, folder)


def resumed(ranks: Ranks, settings: dict[str, Any], folder: Path, root: Path, stop: int) -> stopped.Result:
    """What a training gives that takes up the state in ``root`` and stops at a step."""
    return stopped.train(in_replicas(ranks, settings["pipeline"]["replicas"], patience=10), settings, folder, root, stop)


def assert_whole(found: list[tuple[int, *Trained]], expected: Trained) -> None:
    """Each rank has the figures of one process, and the ranks of each replica its weights, no layer twice."""
    *figures, whole = expected
    assert [theirs for _, *theirs, _ in found] == len(found) * [figures]
    (stages,) = {stages for stages, *_ in found}
    weights = [weights for *_, weights in found]
    for first in range(0, len(found), stages):
        row = weights[first : first + stages]
        assert {name: value for part in row for name, value in part.items()} == whole
        assert sum(map(len, row)) == len(whole)
