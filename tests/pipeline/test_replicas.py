"""Replicas beside each other give bitwise what one process gives that runs them one after the other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.nets import net_of
from helpers.pipelines import recipe
from helpers.training import Trained, alone, hashes, session_of, trained

from alexnet.config.training import Training
from alexnet.input.loader import IGNORE, Batch
from alexnet.pipeline.distributed import Ranks, in_replicas
from alexnet.pipeline.engine import StepStats
from alexnet.pipeline.single_process import SingleProcess
from benchmarks.ranks import RankProcesses

LAYOUTS: list[tuple[int, dict[str, Any]]] = [
    (2, {"pipeline.cuts": ["conv3"], "pipeline.schedule": "1F1B"}),
    (2, {"pipeline.cuts": ["fc6"], "pipeline.schedule": "GPipe"}),
    (2, {"pipeline.cuts": ["conv3"], "pipeline.schedule": "InterleavedZeroBubble"}),
    (2, {"pipeline.cuts": ["conv3", "fc6", "fc7"], "pipeline.schedule": "Interleaved1F1B"}),
    (2, {"pipeline.cuts": ["conv3"], "precision": "bfloat16", "optimizer": "adam"}),
    (2, {"pipeline.cuts": ["conv3"], "lr_mult": {"fc8": 10}, "freeze": ["conv1", "conv2"]}),
    (4, {"pipeline.ranks": 1}),
]


@pytest.fixture(scope="module")
def four() -> Iterator[RankProcesses]:
    with RankProcesses(4, threads=1) as processes:
        yield processes


def trained_in_replicas(ranks: Ranks, settings: dict[str, Any], folder: Path) -> Trained:
    return trained(in_replicas(ranks, settings["pipeline"]["replicas"], 10), settings, folder)


@pytest.mark.parametrize(("replicas", "changes"), LAYOUTS)
def test_replicas_give_the_weights_of_one_process(
    four: RankProcesses, tiny: Path, replicas: int, changes: dict[str, Any]
) -> None:
    """The last batch has four of eight images: with four replicas, two have none."""
    settings = recipe("alexnet-32", {"pipeline.replicas": replicas, **changes})
    *figures, whole = alone(settings, tiny)
    found = four(trained_in_replicas, settings, tiny)
    assert [reported for *reported, _ in found] == 4 * [figures]
    pipelines = [found[first : first + 4 // replicas] for first in range(0, 4, 4 // replicas)]
    for pipeline in pipelines:
        assert {name: value for *_, weights in pipeline for name, value in weights.items()} == whole


def whole_net(ranks: Ranks, settings: dict[str, Any], folder: Path) -> dict[str, str]:
    return hashes(session_of(in_replicas(ranks, 2, 10), settings, folder).engine.full_state_dict())


def test_every_rank_gets_the_whole_net(four: RankProcesses, tiny: Path) -> None:
    found = four(whole_net, recipe("alexnet-32", {"pipeline.replicas": 2}), tiny)
    assert found == 4 * [hashes(dict(net_of("alexnet-32").named_parameters()) | dict.fromkeys(())) ] or len({*map(str, found)}) == 1
