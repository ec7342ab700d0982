"""Four replicas of two ranks, on eight processes: bitwise what one process gives."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.pipelines import recipe
from helpers.replicas import assert_whole, trained_in_replicas
from helpers.training import alone

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
