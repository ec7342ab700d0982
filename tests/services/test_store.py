"""Data, models and experiments through an S3 server and a bare git repository, by the commands of docs/team.md."""

from pathlib import Path

import pytest
from helpers.clones import execute
from helpers.team import Team

from alexnet.files.whole import read_json, sha256_of

pytestmark = [pytest.mark.services, pytest.mark.timeout(1800)]

MODEL, CARD, CURVES = (Path(path) for path in ("models/alexnet.safetensors", "models/alexnet.json", "reports/train.csv"))


def files(folder: Path) -> dict[str, str]:
    """The hash of each file that a stage writes."""
    paths = [path for part in ("data", "models", "reports") for path in (folder / part).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): sha256_of(path) for path in paths}


def test_another_clone_pulls_all_that_was_pushed_and_computes_nothing(anna: Path, ben: Path) -> None:
    assert read_json(ben / CARD)["sha256"] == sha256_of(ben / MODEL)
    assert files(ben) == files(anna)
    assert "Data and pipelines are up to date" in execute(ben, "dvc", "status")
    assert "Running stage" not in execute(ben, "dvc", "repro")
    assert execute(anna, "python", "-m", "workflow.push") == "DVC's remote has everything\n"


def test_repro_takes_what_a_colleague_has_trained_and_never_committed(team: Team, anna: Path) -> None:
    """Two trainings, of which the workspace no longer has the first."""
    rates = ("0.002", "0.003")
    made = {}
    for rate in rates:
        with_rate(anna, rate)
        execute(anna, "dvc", "repro")
        made[rate] = files(anna)
    assert "pushed " in execute(anna, "python", "-m", "workflow.push")
    execute(anna, "git", "checkout", "-q", ".")
    execute(anna, "dvc", "checkout")
    third = team.joins("third")
    for rate in rates:
        with_rate(third, rate)
        said = team.page.run(third, "dvc repro --pull")
        assert [line for line in said.splitlines() if line.startswith("Running stage")] == ["Running stage 'report':"]
        assert files(third) == made[rate]


def with_rate(folder: Path, rate: str) -> None:
    """Set ``lr``."""
    params = folder / "params.yaml"
    before = params.read_text()
    lines = [f"lr: {rate}" if line.startswith("lr: ") else line for line in before.splitlines()]
    params.write_text("\n".join(lines) + "\n")
    assert params.read_text() != before


def test_an_experiment_goes_through_a_bare_repository(team: Team, anna: Path) -> None:
    team.page.run(anna, "dvc exp run -n slow")
    other = team.joins("other")
    assert "slow" in team.page.run(other, "dvc exp list origin")
    assert files(other) == files(anna)
    assert "lr: 0.0005" in (other / "params.yaml").read_text()
    execute(anna, "git", "checkout", "-q", ".")
    execute(anna, "dvc", "checkout")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("remote", "default", "-u", "store"), "no remote specified"),
        (("remote", "modify", "store", "url", "s3://nobody/dvc"), "bucket does not exist"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_line(team: Team, change: tuple[str, ...], said: str) -> None:
    clone = team.joins(said.replace(" ", "-"))
    execute(clone, "dvc", *change)
    line = execute(clone, "python", "-m", "workflow.push", status=2)
    assert said in line
    assert len(line.splitlines()) == 1 and line.startswith("error: DVC's remote failed (")
