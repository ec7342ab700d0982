"""Three ranks, and four replicas of two, on eight processes: bitwise what one process gives."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import stopped
from helpers.pipelines import recipe
from helpers.replicas import assert_whole, resumed, trained_in_replicas
from helpers.training import alone, trained

from benchmarks.ranks import RankProcesses

pytestmark = [pytest.mark.services, pytest.mark.timeout(1200)]

FOUR = {"pipeline.replicas": 4, "pipeline.cuts": ["conv3"], "batch_size": 16}


@pytest.fixture(scope="module")
def eight() -> Iterator[RankProcesses]:
    with RankProcesses(8, threads=1) as processes:
        yield processes


@pytest.mark.parametrize("changes", [{"pipeline.schedule": "1F1B"}, {"pipeline.cuts": ["conv3", "fc6", "fc7"], "batch_size": 8}])
def test_four_replicas_of_two_ranks_give_the_weights_of_one_process(
    eight: RankProcesses, odd: Path, changes: dict[str, Any]
) -> None:
    """The last batch has one image."""
    settings = recipe("alexnet-32", FOUR | changes)
    found = eight(trained_in_replicas, settings, odd)
    assert_whole(found, alone(settings, odd))
    assert found[0][0] == 2


def test_a_training_goes_on_with_other_cuts_on_eight_ranks_and_back_in_one_process(
    eight: RankProcesses, tiny: Path, tmp_path: Path
) -> None:
    one = stopped.recipe(**{"pipeline.replicas": 4, "pipeline.cuts": ["conv3"]})
    two = stopped.recipe(**{"pipeline.replicas": 4, "pipeline.cuts": ["fc6"], "pipeline.ranks": 2, "pipeline.schedule": "1F1B"})
    epochs, weights, _ = stopped.alone(one, tiny, tmp_path / "whole")
    root = tmp_path / "parts"
    stopped.alone(one, tiny, root, 3)
    assert [done for *_, done in eight(resumed, two, tiny, root, 6)] == 8 * [[3, 4, 5, 6]]
    assert stopped.alone(one, tiny, root) == (epochs, weights, [6, 7, 8, 9])


def test_three_ranks_give_the_weights_of_one(tiny: Path) -> None:
    pipeline = {"pipeline.ranks": 3, "pipeline.cuts": ["conv3", "fc6"], "pipeline.schedule": "InterleavedZeroBubble"}
    settings = recipe("alexnet-32", {**pipeline, "pipeline.microbatches": 3, "batch_size": 9})
    *figures, whole = alone(settings, tiny)
    with RankProcesses(3, threads=1) as processes:
        results = processes(trained, settings, tiny)
    assert [reported for *reported, _ in results] == 3 * [figures]
    assert {name: value for *_, weights in results for name, value in weights.items()} == whole
