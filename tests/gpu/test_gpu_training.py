"""Whole trainings and evaluations on one GPU, by the stages' commands, without DVC and MLflow."""

import copy
import json
import shutil
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil  # type: ignore[import-untyped]
import pytest
import torch
from helpers.asked import Asked
from helpers.gpu import CPU, CUDA, NCCL, gpu, ranks_on, require
from helpers.stage_process import ONE, TWO, start, wait_for
from helpers.stopped import STEPS, recipe, train
from helpers.training import session_of
from safetensors.torch import load_file

from alexnet.inference.model import load
from alexnet.input.augment import Normalization
from alexnet.models.numerics import prepare_process
from alexnet.pipeline.distributed import Ranks
from alexnet.train.checkpoint import Checkpoint
from alexnet.train.optimizers import build_optimizer

pytestmark = gpu

PROBABILITY = 1e-5
"""How far two devices' probabilities may be from each other, in float32."""
SHORT = {"epochs": 2, "lr": 0.01, "machine.log_model": False}


@pytest.fixture
def folder(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With the data of a small training, on one GPU."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    return tmp_path


def said_by(process: "subprocess.Popen[str]", status: int = 0) -> str:
    said = process.communicate(timeout=240)[1]
    assert process.returncode == status, said
    return said


def test_a_training_and_its_evaluation(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From prepared shards to errors, on the GPU; the CPU finds the same errors for the model."""
    said = said_by(start(folder, *ONE, **SHORT, **{"pipeline.ranks": 1}))
    assert "one process, " in said and "float32, cuda" in said and "epoch 2/2" in said
    said = said_by(start(folder, "-m", "stages.evaluate"))
    assert "evaluate: top-1 error" in said
    ours, predicted = json.loads((folder / "reports/metrics.json").read_text()), read_predictions(folder)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    said_by(start(folder, "-m", "stages.evaluate"))
    theirs, cpus = json.loads((folder / "reports/metrics.json").read_text()), read_predictions(folder)
    assert ours["images"] == theirs["images"] == len(predicted)
    assert ours["ten_crop"]["loss"] == pytest.approx(theirs["ten_crop"]["loss"], rel=PROBABILITY)
    assert (predicted["predicted"] == cpus["predicted"]).all()
    assert np.abs(predicted["probability"] - cpus["probability"]).max() <= PROBABILITY


def read_predictions(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "data/evaluation/predictions.csv")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_one_gpu_for_two_ranks_runs_all_stages_in_one_process(folder: Path, precision: str) -> None:
    """As README says, and with the model of one rank."""
    found = []
    for arguments, ranks in ((TWO, 2), (ONE, 1)):
        said = said_by(start(folder, *arguments, **SHORT, **{"pipeline.ranks": ranks, "precision": precision}))
        assert ("one process for all stages, as there is one GPU for 2 ranks" in said) == (ranks == 2), said
        found.append((folder / "models/alexnet.safetensors").read_bytes())
        shutil.rmtree(folder / ".checkpoints")
    assert found[0] == found[1]


def test_a_training_on_a_gpu_goes_on_to_the_bit(tiny: Path, tmp_path: Path) -> None:
    prepare_process(threads=1)
    for changes in ({}, {"optimizer": "adam", "keep": "best", "precision": "bfloat16"}):
        settings, ranks = recipe(**changes), ranks_on(CUDA)
        root = tmp_path / str(len(changes))
        epochs, weights, done = train(ranks, settings, tiny, root / "whole")
        assert done == [*range(1, STEPS + 1)]
        for stop in (4, 8):
            train(ranks, settings, tiny, root / "parts", stop)
        *rest, done = train(ranks, settings, tiny, root / "parts")
        assert rest == [epochs, weights]
        assert 4 < done[0] <= 8 and done[-1] == STEPS


def test_a_checkpoint_of_the_other_device_is_left_alone(tiny: Path, tmp_path: Path) -> None:
    """Its last bits are others'; a GPU of another kind says that there is one."""
    prepare_process(threads=1)
    for ours, others in ((CUDA, CPU), (CPU, CUDA)):
        root = tmp_path / ours.type
        train(ranks_on(others), recipe(), tiny, root, 5)
        assert train(ranks_on(ours), recipe(), tiny, root, 2)[2] == [1, 2]


def test_a_gpu_of_another_kind_starts_again_and_says_so(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as other:
        other.setattr(torch.cuda, "get_device_name", lambda number: "NVIDIA Other")
        train(ranks_on(CUDA), recipe(), tiny, tmp_path, 5)
    assert "note" not in capfd.readouterr().err
    assert train(ranks_on(CUDA), recipe(), tiny, tmp_path, 2)[2] == [1, 2]
    assert "has a checkpoint of this training by other code or on another GPU" in capfd.readouterr().err


def state(ranks: Ranks, tiny: Path, folder: Path, save: bool) -> dict[str, Any]:
    """The weights and velocities of a training, saved in ``folder`` after a step, or read from there."""
    session = session_of(ranks, recipe(), tiny)
    parameters = session.engine.parameters()
    optimizer, checkpoint = build_optimizer(parameters, session.settings), Checkpoint(folder, 0, ranks)
    standing, _ = checkpoint.load(parameters, optimizer)
    if save:
        for value in parameters.values():
            value.grad = value.detach().clone()
        optimizer.step()
        assert checkpoint.save(standing, parameters, optimizer, {})
    checkpoint.__exit__(None, None, None)
    velocities = {name: optimizer.state[value]["momentum_buffer"] for name, value in parameters.items()}
    assert all(value.device == ranks.device == velocities[name].device for name, value in parameters.items())
    assert all(value.stride() == velocities[name].stride() for name, value in parameters.items())
    return {name: (value.detach().cpu(), velocities[name].cpu()) for name, value in parameters.items()}


@pytest.mark.parametrize(("writer", "reader"), [(CUDA, CPU), (CPU, CUDA)])
def test_weights_and_velocities_are_the_same_on_the_other_device(
    tiny: Path, tmp_path: Path, writer: torch.device, reader: torch.device
) -> None:
    written, read = (
        state(ranks_on(device), tiny, tmp_path / "a-b-3", save=save) for device, save in ((writer, True), (reader, False))
    )
    assert written.keys() == read.keys()
    for name, tensors in written.items():
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(tensors, read[name], strict=True)), name


def test_what_a_gpu_trained_starts_a_training_on_the_cpu(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said_by(start(folder, *ONE, **SHORT, **{"pipeline.ranks": 1}))
    shutil.copytree(folder / "models", folder / "kept")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    frozen = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"]
    start_from = {"init_from": "kept/alexnet.safetensors", "freeze": frozen, "pipeline.ranks": 1}
    assert "float32, cpu" in said_by(start(folder, *ONE, **{**SHORT, "epochs": 1}, **start_from))
    ours, theirs = (load_file(folder / place / "alexnet.safetensors") for place in ("kept", "models"))
    assert all(torch.equal(ours[f"{layer}.weight"], theirs[f"{layer}.weight"]) for layer in frozen)


def test_predictions_on_a_gpu_are_the_cpus(asked: Asked) -> None:
    model = load(asked.model)
    assert model.normalization.mean.device == CUDA
    on_cpu = Normalization.of(model.normalization.mean.permute(2, 0, 1).cpu(), model.card.scale, 0, CPU)
    cpus = replace(model, net=copy.deepcopy(model.net).to(CPU), normalization=on_cpu)
    for ten_crop in (False, True):
        for ours, theirs in zip(*(one.predict(asked.images, top=10, ten_crop=ten_crop) for one in (model, cpus)), strict=True):
            likely = dict(theirs)
            assert all(abs(probability - likely[name]) <= PROBABILITY for name, probability in ours)
    assert np.allclose(model.features(asked.images), cpus.features(asked.images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("arguments", [ONE, TWO], ids=["one", "two"])
def test_no_process_outlives_a_training_that_is_killed(folder: Path, arguments: list[str]) -> None:
    training = start(folder, *arguments, **{"pipeline.ranks": 2 if arguments == TWO else 1})
    wait_for(training, "epoch 1/")
    processes = psutil.Process(training.pid).children(recursive=True)
    training.send_signal(signal.SIGKILL)
    training.communicate(timeout=15)
    assert not psutil.wait_procs(processes, timeout=15)[1]


def test_ranks_and_gpus_that_do_not_match_are_said_in_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require(NCCL)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    cuts = {"pipeline.ranks": 3, "pipeline.cuts": ["conv3", "fc6"]}
    said = said_by(start(folder, *TWO[:3], "3", *TWO[4:], **cuts), 2)
    assert said == "error: pipeline.ranks: 3 is more than the 2 GPUs of this machine; set it to 2, or to 1\n"


@pytest.mark.parametrize("arguments", [ONE, ["-m", "stages.evaluate"]], ids=["train", "evaluate"])
@pytest.mark.parametrize("way", ["a card that is not there", "a driver that does not work"])
def test_a_gpu_that_cannot_be_used_is_said_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, way: str, arguments: list[str]
) -> None:
    if arguments != ONE:
        said_by(start(folder, *ONE, **SHORT, **{"pipeline.ranks": 1}))
    if way == "a card that is not there":
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "99")
    else:  # a library by the driver's name that is not the driver
        loaded = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
        (folder / "libcuda.so.1").symlink_to(next(path for path in loaded if path.endswith("/libm.so.6")))
        monkeypatch.setenv("LD_LIBRARY_PATH", str(folder), prepend=":")
    said = said_by(start(folder, *arguments, **SHORT, **{"pipeline.ranks": 1}), 2)
    print(said)
    assert said.startswith("error: the GPU cannot be used: ") and said.count("\n") == 1
    assert "CUDA_VISIBLE_DEVICES= in front of the command uses the CPU" in said
