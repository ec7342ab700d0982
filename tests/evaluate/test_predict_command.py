"""``python -m alexnet predict`` as a command: any file name, any place to print to, and advice that helps."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import pytest
import torch
from helpers.asking import ask
from helpers.cards import card_of
from helpers.nets import net_of
from PIL import Image

from alexnet.models.saved import save_weights
from alexnet.output import READER_GONE

ROOT = Path(__file__).parents[2]
BYTES = os.fsdecode(b"m\xff")
"""A name that is not UTF-8."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image, and a model with its card, each also under a name that is not UTF-8."""
    folder = tmp_path_factory.mktemp("predict")
    weights = {name: value.detach() for name, value in net_of("alexnet-32", crop_size=28).named_parameters()}
    sha256 = save_weights(folder / "model.safetensors", weights, torch.rand(3, 32, 32))
    card_of(names=["Käse", *"123456789"], size=32, crop_size=28, flip=False, sha256=sha256).write(folder / "model.json")
    Image.new("RGB", (40, 40), "red").save(folder / "a.png")
    for name in ("model.safetensors", "model.json", "a.png"):
        shutil.copy(folder / name, folder / f"{BYTES}{Path(name).suffix}")
    return folder


def command(folder: Path, *arguments: str, stdout: int | IO[Any] = subprocess.PIPE, **variables: str) -> tuple[int, str, str]:
    """Exit status, output and errors."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""} | variables
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=folder, env=environment, stdout=stdout, stderr=subprocess.PIPE, check=False
    )
    return done.returncode, (done.stdout or b"").decode(), done.stderr.decode()


def test_names_that_are_not_utf8_and_an_output_that_lacks_letters(folder: Path) -> None:
    status, out, err = command(
        folder, "alexnet", "predict", f"--model={BYTES}.safetensors", f"{BYTES}.png", "none\udcfe.png", PYTHONIOENCODING="ascii"
    )
    assert err == "error: none\\udcfe.png cannot be read as an image (No such file or directory); choose another file\n"
    assert status == 2
    lines = out.splitlines()
    assert lines[0] == "m\\udcff.png" and len(lines) == 6
    assert {line.split()[1] for line in lines[1:]} <= {"K\\xe4se", *"123456789"}


COMMANDS = [("alexnet", "predict", "--model", "model.safetensors", "a.png", "a.png"), ("alexnet", "--help"), ("workflow.recipe",)]


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_reader_that_has_gone_ends_a_command_quietly(folder: Path, arguments: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        assert command(folder, *arguments, stdout=pipe) == (READER_GONE, "", "")


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_full_disk_is_said_in_one_line(folder: Path, arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        status, _, err = command(folder, *arguments, stdout=full)
    assert (status, err) == (
        2,
        "error: the output cannot be written (No space left on device); free some space or print elsewhere\n",
    )


def test_an_error_that_nobody_can_read_keeps_its_status(folder: Path) -> None:
    script = "import sys; sys.argv[1:] = ['predict', 'a.png']; from alexnet.__main__ import main; main()"
    with Path("/dev/full").open("wb") as full:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", script], cwd=folder, env=environment, stderr=full, check=False)
    assert done.returncode == 2


def test_a_copied_model_without_its_card_and_one_that_is_missing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refusal(model: str) -> str:
        assert ask("predict", "--model", model, folder / "a.png") == 2
        return capsys.readouterr().err.removeprefix("error: ").removesuffix("\n")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    ours = "models/alexnet.safetensors is missing; run `dvc repro` to train it, or choose a model with --model"
    assert refusal("models/alexnet.safetensors") == ours
    assert refusal("models/none.safetensors") == "models/none.safetensors is missing; choose a model with --model"
    shutil.copy(folder / "model.safetensors", "models/alexnet-2.safetensors")
    assert (
        refusal("models/alexnt-2.safetensors")
        == "models/alexnt-2.safetensors is missing; did you mean models/alexnet-2.safetensors?"
    )
    for name in ("models/alexnet", "models/first"):
        shutil.copy(folder / "model.safetensors", f"{name}.safetensors")
    assert refusal("models/alexnet.safetensors") == "models/alexnet.json is missing; run `dvc repro` to make it"
    advice = "the card of first.safetensors belongs there: copy the models/alexnet.json that the same training wrote"
    assert refusal("models/first.safetensors") == f"models/first.json is missing; {advice}"
    for content, damage in (("{", "is damaged ("), ("{}", "is damaged: format is missing or wrong;")):
        Path("models/first.json").write_text(content)
        said = refusal("~/models/first.safetensors")
        assert f"models/first.json {damage}" in said and said.endswith(f"; {advice}")
    assert refusal("~nosuchuser/a").startswith("--model: ~nosuchuser/a is in the home folder ~nosuchuser, which is not known")
    shutil.copy(folder / "model.json", "models/first.json")
    assert ask("predict", "--model", "~/models/first.safetensors", folder / "a.png") == 0


def test_a_card_that_may_not_be_read_is_said_in_one_line(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "model.safetensors", tmp_path / "model.safetensors")
    (tmp_path / "model.json").mkdir()
    status, out, err = command(folder, "alexnet", "predict", "--model", str(tmp_path / "model.safetensors"), "a.png")
    assert (status, out) == (2, "")
    assert err == f"error: {tmp_path / 'model.json'} cannot be read (Is a directory); fix that and run this again\n"
