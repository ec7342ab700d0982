"""A team of two: the first has run the workflow and pushed it, the second has cloned it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.clones import SMALL, clone, execute
from helpers.nets import settings_of
from helpers.team import Team, s3_server

RECIPE = SMALL | {"pipeline.ranks": 1}


@pytest.fixture(scope="session")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """A bare git repository and an S3 store, both empty but for the code and where the store is."""
    folder = tmp_path_factory.mktemp("team")
    with s3_server() as address:
        team = Team(folder, address)
        first = folder / "first"
        first.mkdir()
        clone(first, settings_of("cifar10-32", **RECIPE))
        execute(folder, "git", "init", "-q", "--bare", str(team.hub))
        execute(first, "git", "remote", "add", "origin", str(team.hub))
        execute(first, "git", "push", "-q", "--set-upstream", "origin", "HEAD")
        team.page.run(first, "dvc remote add -d")
        yield team


@pytest.fixture(scope="session")
def anna(team: Team) -> Path:
    """A clone in which the workflow has run, pushed as docs/team.md says."""
    anna = team.joins("anna")
    execute(anna, "dvc", "repro")
    team.page.run(anna, 'git add -A\ngit commit -m "A training"')
    return anna


@pytest.fixture(scope="session")
def ben(team: Team, anna: Path) -> Path:
    """The clone of a colleague, who has pulled."""
    ben = team.joins("ben")
    team.page.run(ben, "git pull\ndvc pull")
    return ben
