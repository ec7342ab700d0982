"""Every stage command checks all of params.yaml first: one line, exit 2, before any large library is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.nets import net_of, settings_of
from helpers.staged import params_text
from ruamel.yaml import YAML
from safetensors.torch import save_model

from alexnet.files.whole import sha256_of

ROOT = Path(__file__).parents[2]
COMMANDS = [*(f"stages.{stage}" for stage in ("download", "pca", "preprocess", "train", "evaluate", "report")), "workflow.check"]
LARGE = {
    "PIL",
    "dvc",
    "jinja2",
    "matplotlib",
    "mlflow",
    "numpy",
    "pandas",
    "requests",
    "scipy",
    "sklearn",
    "torch",
    "torchvision",
}
"""Libraries that take a tenth of a second or more to import."""


def command(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(Path(sys.executable).parent), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"CUDA_VISIBLE_DEVICES": ""} | variables
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=240
    )


@pytest.mark.parametrize("module", COMMANDS)
def test_a_misspelt_key_stops_every_stage_in_one_line(module: str, tmp_path: Path) -> None:
    text = params_text()
    (tmp_path / "params.yaml").write_text(text.replace("momentum:", "momentun:"))
    result = command(tmp_path, "-m", module)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "error: params.yaml: unknown setting momentun; did you mean momentum?\n"
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_a_rank_that_another_launcher_left_in_the_environment_hides_no_error(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("lr: 1")
    left = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "x"}
    result = command(tmp_path, "-m", "stages.evaluate", **left)
    assert result.returncode == 2
    assert result.stderr.startswith("error: params.yaml: ")


@pytest.mark.parametrize("module", COMMANDS)
def test_a_refusal_imports_no_large_library(module: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(params_text().replace("momentum:", "momentun:"))
    program = (
        f"import atexit, runpy, sys; atexit.register(lambda: print(*sorted({LARGE} & sys.modules.keys())));"
        f"runpy.run_module('{module}', run_name='__main__')"
    )
    result = command(tmp_path, "-c", program)
    assert (result.returncode, result.stdout) == (2, "\n"), result.stderr


def test_the_number_that_dvc_writes_is_a_number(tmp_path: Path) -> None:
    text = params_text()
    lines = ["lr: 1e-05" if line.startswith("lr:") else line for line in text.splitlines()]
    (tmp_path / "params.yaml").write_text("\n".join(lines))
    assert command(tmp_path, "-m", "workflow.check").returncode == 0


def test_a_missing_or_broken_params_file_is_said_in_one_line(tmp_path: Path) -> None:
    missing = command(tmp_path, "-m", "workflow.check")
    assert missing.returncode == 2
    assert "params.yaml is missing" in missing.stderr
    (tmp_path / "params.yaml").write_text("lr: [1\nseed: 0\n")
    broken = command(tmp_path, "-m", "workflow.check")
    assert broken.returncode == 2
    assert broken.stderr.startswith("error: params.yaml: not valid YAML: fix line ")
    assert len(broken.stderr.splitlines()) == 1


@pytest.mark.parametrize("content", ["", "[]", "lr"])
def test_a_params_file_that_holds_no_settings_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(content)
    result = command(tmp_path, "-m", "workflow.check")
    assert result.returncode == 2
    assert result.stderr == "error: params.yaml: not a mapping; write each setting as `name: value`\n"


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ("models/none.safetensors", "models/none.safetensors is missing; set it to a trained model's file, or leave it empty"),
        ("models/alexnet.safetensors", "models/alexnet.safetensors is overwritten by the training; copy it and set the copy"),
        ("~/none.safetensors", "init_from: /the/home/none.safetensors is missing; set it to a trained model's file"),
        ("~nosuchuser/a.safetensors", "~nosuchuser/a.safetensors is in the home folder ~nosuchuser, which is not known"),
    ],
)
def test_a_model_to_start_from_that_cannot_be_had_is_refused(tmp_path: Path, start: str, words: str) -> None:
    text = params_text()
    (tmp_path / "params.yaml").write_text(text.replace("init_from:\n", f"init_from: {start}\n"))
    result = command(tmp_path, "-m", "workflow.check", HOME="/the/home")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: init_from: ") and words in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_relative_model_to_start_from_lies_in_the_main_repository(tiny: Path, tmp_path: Path) -> None:
    """From a temporary experiment's folder too; the card has its hash and not its path."""
    main, folder = tmp_path / "main", tmp_path / "temporary"
    main.mkdir()
    folder.mkdir()
    save_model(net_of("alexnet-32", crop_size=28), str(main / "start.safetensors"))
    (folder / "data").symlink_to(tiny / "data")
    params = settings_of("cifar10-32", init_from="start.safetensors", crop_size=28, crop_padding=0, batch_size=10, epochs=1)
    params["pipeline"] = params["pipeline"] | {"ranks": 1, "microbatches": 1}
    YAML().dump(params, folder / "params.yaml")
    for module in ("workflow.check", "stages.train"):
        result = command(folder, "-m", module, DVC_ROOT=str(main), ALEXNET_TRACKING="off")
        assert result.returncode == 0, result.stderr
    text = (folder / "models/alexnet.json").read_text()
    assert f'"init_from": "{sha256_of(main / "start.safetensors")}"' in text
    assert str(main) not in text


@pytest.mark.parametrize("initialised", [False, True], ids=["no repository", "no commit"])
def test_a_recipe_without_a_commit_is_refused_with_two_commands(tmp_path: Path, initialised: bool) -> None:
    (tmp_path / "params.yaml").write_text(params_text())
    variables = {"PATH": os.environ["PATH"], "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    if initialised:
        subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    result = command(tmp_path, "-m", "workflow.recipe", "tanh", **variables)
    assert (result.returncode, result.stdout) == (2, "")
    advice = "run `git init` and `git add -A && git commit -m start`, then run this again"
    assert result.stderr == f"error: DVC needs git and a commit of these files; {advice}\n"
