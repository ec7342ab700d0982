"""The workflow is interrupted at random moments, and the same command goes on; `make faults` does so for longer."""

from signal import SIGKILL

import pytest
from faults.campaign import Campaign
from faults.harness import REPRO, Fault

pytestmark = pytest.mark.timeout(600)

LONG = 500
"""Epochs of a training that no machine ends within the test."""


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    """Trainings that were interrupted twice at most, the last of them once at least: one may end before its signal."""
    campaign = Campaign(tmp_path_factory.mktemp("faults"), 0, print, **{"data.limit": 20})
    while not campaign.hits:
        campaign.train(2)
    return campaign


def test_an_interrupted_workflow_goes_on_and_ends_with_the_outs_of_an_undisturbed_one(campaign: Campaign) -> None:
    assert campaign.hits > 0
    assert not campaign.wrong, "\n".join(campaign.wrong)


def test_a_stage_ends_when_dvc_alone_is_killed(campaign: Campaign) -> None:
    campaign.workflow.again()
    campaign.workflow.change(epochs=LONG)
    # Unlike bash, dash keeps running between DVC and a command.
    outcome = campaign.workflow.run(*REPRO, fault=Fault("train", "dvc", SIGKILL, 0.1), SHELL="/bin/sh")
    assert outcome.hit == "train: dvc"
    assert not outcome.orphans
    assert f"epoch {LONG}/{LONG}" not in outcome.output
