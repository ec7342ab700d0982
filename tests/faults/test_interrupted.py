"""The workflow is interrupted at random moments, and the same command goes on; `make faults` does so for longer."""

import subprocess
from pathlib import Path
from signal import SIGKILL

import psutil  # type: ignore[import-untyped]
import pytest
from faults.campaign import Campaign
from faults.harness import REPRO, Fault, working_in
from helpers.clones import activated, execute
from helpers.waiting import until

pytestmark = pytest.mark.timeout(600)

LONG = 500
"""Epochs of a training that no machine ends within the test."""


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    """Trainings that were interrupted three times at most, the last of them once at least: one may end before its signal."""
    campaign = Campaign(tmp_path_factory.mktemp("faults"), 0, print)
    while not campaign.hits:
        campaign.train(3)
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


def test_a_queued_experiment_whose_worker_was_killed_is_taken_up_again(campaign: Campaign) -> None:
    folder = campaign.workflow.folder
    campaign.workflow.again()
    queue = ("python", "-m", "workflow.recipe", "no-lrn", "--queue")
    execute(folder, *queue)
    start_queue(folder)
    until(lambda: any(folder.glob(".checkpoints/*/*/state.json")))
    killed = list(working_in(folder))
    for process in killed:
        process.kill()
    psutil.wait_procs(killed, timeout=30)
    said = execute(folder, *queue, status=2)
    assert (
        "error: no-lrn was killed while it ran; `dvc queue kill no-lrn && dvc queue remove no-lrn`, then run this again" in said
    )
    for action in ("kill", "remove"):
        execute(folder, "dvc", "queue", action, "no-lrn")
    execute(folder, *queue)
    start_queue(folder)
    until(lambda: "resuming this training where it was stopped" in logs(folder, "no-lrn"), every=1)


def start_queue(folder: Path) -> None:
    """The worker keeps what it inherits: a pipe would be open until it ends."""
    quiet = subprocess.DEVNULL
    subprocess.run(["dvc", "queue", "start"], cwd=folder, env=activated(), stdout=quiet, stderr=quiet, check=True)


def logs(folder: Path, name: str) -> str:
    """What a queued experiment has printed, or that it has not been started."""
    command = ("dvc", "queue", "logs", name)
    return subprocess.run(command, cwd=folder, env=activated(), capture_output=True, text=True, check=False).stdout
