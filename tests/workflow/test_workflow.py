"""The whole workflow as a user runs it, on a few digits: DVC, two ranks under torchrun, MLflow, the report; and interrupted."""

import sqlite3
from contextlib import closing
from pathlib import Path
from signal import SIGKILL

import pandas as pd
import pytest
from faults.campaign import Campaign
from faults.harness import REPRO, Fault, Workflow
from helpers.clones import SMALL, execute, runs
from helpers.nets import meta_net, settings_of
from ruamel.yaml import YAML

from alexnet.files.whole import read_json, sha256_of
from alexnet.models.costs import training_flops

pytestmark = pytest.mark.timeout(600)


TWENTY = {"data.limit": SMALL["data.limit"], "machine.log_model": True}
LONG = 500
"""Epochs of a training that no machine ends within the test."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A clone, set to the small net, in which `dvc repro` has run."""
    workflow = Workflow(tmp_path_factory.mktemp("first") / "clone", **TWENTY)
    outcome = workflow.run(*REPRO)
    assert outcome.status == 0, outcome.output
    execute(workflow.folder, "git", "add", "-A")
    execute(workflow.folder, "git", "commit", "-qm", "results")
    return workflow


@pytest.fixture(scope="module")
def repository(undisturbed: Workflow) -> Path:
    return undisturbed.folder


def test_every_out_is_there_and_they_agree(repository: Path) -> None:
    card, metrics = read_json(repository / "models/alexnet.json"), read_json(repository / "reports/metrics.json")
    assert card["sha256"] == sha256_of(repository / "models/alexnet.safetensors")
    assert card["data"]["images"] == {"train": 20, "val": 20, "test": 20}
    assert (metrics["images"], metrics["classes"]) == (20, 10)
    curves = pd.read_csv(repository / "reports/train.csv")
    assert list(curves.columns) == [
        "epoch", "lr", "train_loss", "train_top1_error", "val_loss", "val_top1_error", "val_top5_error"
    ]  # fmt: skip
    assert curves["epoch"].tolist() == [1, 2]
    page = (repository / "reports/index.html").read_text()
    assert f"{metrics['ten_crop']['top1_error']:.1%}".rstrip("%") in page


def test_one_run_of_mlflow_holds_the_training_and_the_test(repository: Path) -> None:
    table = runs(repository)
    assert len(table) == 1
    run = table.iloc[0]
    assert run["status"] == "FINISHED"
    assert run["params.lr"] == 0.001
    assert run["params.lineage.images.train"] == 20
    assert run["tags.model_sha256"] == sha256_of(repository / "models/alexnet.safetensors")
    metrics = read_json(repository / "reports/metrics.json")
    assert run["metrics.ten_crop_top1_error"] == pytest.approx(metrics["ten_crop"]["top1_error"])
    assert run["metrics.val_loss"] == pytest.approx(pd.read_csv(repository / "reports/train.csv")["val_loss"].iloc[-1])
    assert run["metrics.step_loss"] > 0
    flops = training_flops(meta_net("alexnet-32"), settings_of("cifar10-32")["crop_size"])
    assert run["metrics.gflops_per_second"] / run["metrics.images_per_second"] == pytest.approx(flops / 1e9)
    for share in ("data_wait", "idle_rank_0", "idle_rank_1"):
        assert 0 <= run[f"metrics.{share}"] < 1
    # None of it in DVC's files, which are the same whatever the speed.
    written = [path for path in (repository / "reports").rglob("*") if path.suffix in (".json", ".csv", ".md", ".html")]
    assert not any(name in path.read_text() for path in written for name in ("images_per_second", "data_wait", "idle_rank"))
    artifacts = {path.name for path in (repository / "mlruns").rglob("*") if path.is_file()}
    assert {"alexnet.safetensors", "alexnet.json", "index.html", "metrics.json", "train.csv"} <= artifacts
    with closing(sqlite3.connect(repository / "mlflow.db")) as database:
        assert database.execute("SELECT alias, version FROM registered_model_aliases").fetchall() == [("champion-digits", 1)]


def test_a_second_repro_does_nothing(repository: Path) -> None:
    said = execute(repository, "dvc", "repro")
    assert "Running stage" not in said
    assert "Data and pipelines are up to date" in said
    assert execute(repository, "git", "status", "--porcelain") == ""


def test_settings_of_the_machine_rerun_no_stage(repository: Path) -> None:
    standing = (repository / "params.yaml").read_text()
    try:
        YAML().dump(settings_of("cifar10-32", **SMALL, **{"machine.workers": 1}), repository / "params.yaml")
        assert "Data and pipelines are up to date" in execute(repository, "dvc", "status")
    finally:
        (repository / "params.yaml").write_text(standing)


@pytest.fixture(scope="module")
def campaign(undisturbed: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    """Trainings that were interrupted once at most, the last of them at least: one may end before its signal."""
    campaign = Campaign(tmp_path_factory.mktemp("faults"), 0, print, undisturbed, **TWENTY)
    while not campaign.hits:
        campaign.train(1)
    return campaign


def test_an_interrupted_workflow_goes_on_and_ends_with_the_outs_of_an_undisturbed_one(campaign: Campaign) -> None:
    """At a random moment; `make faults` does so for longer."""
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


def test_the_model_names_an_image(repository: Path, tmp_path: Path) -> None:
    image = repository / "data/evaluation/sample-0.jpg"
    lines = execute(repository, "python", "-m", "alexnet", "predict", str(image), "--ten-crop").splitlines()
    assert lines[0] == str(image)
    assert len(lines) == 6
    assert {line.split()[1] for line in lines[1:]} <= set("0123456789")
    (tmp_path / "text.jpg").write_text("no image")
    said = execute(repository, "python", "-m", "alexnet", "predict", str(tmp_path / "text.jpg"), str(image), status=2)
    refusals = [line for line in said.splitlines() if line.startswith("error: ")]
    assert refusals == [
        f"error: {tmp_path / 'text.jpg'} cannot be read as an image (not a JPEG, PNG, WebP or BMP image); choose another file"
    ]
    assert len(said.splitlines()) == 1 + 6  # the good image is answered all the same


def test_a_wrong_setting_stops_train_before_torchrun(repository: Path, tmp_path: Path) -> None:
    said = execute(repository, "dvc", "exp", "run", "--temp", "-S", "lr=-1", status=255)
    assert "error: params.yaml: lr: -1 is not valid: it should be greater than 0" in said
    assert "Traceback" not in said
