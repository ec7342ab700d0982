"""`make` sets up the environment by itself, whatever configuration of pip it finds."""

import hashlib
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WHEEL = "probe-1.0-py3-none-any.whl"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the Makefile, and a requirements.txt of one package, which lies in it as a wheel; uv is not available."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements-dev.txt").touch()
    with zipfile.ZipFile(tmp_path / WHEEL, "w") as wheel:
        wheel.writestr("probe.py", "")
        wheel.writestr("probe-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: probe\nVersion: 1.0\n")
        wheel.writestr("probe-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("probe-1.0.dist-info/RECORD", "probe.py,,\n")
    require(tmp_path, hashlib.sha256((tmp_path / WHEEL).read_bytes()).hexdigest())
    return tmp_path


def require(clone: Path, sha256: str) -> None:
    (clone / "requirements.txt").write_text(f"probe==1.0 --hash=sha256:{sha256}\n")


def make(clone: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(clone), "MAKEFLAGS": "", "MAKELEVEL": ""}
    environment = os.environ | offline | variables
    return subprocess.run(["make", ".venv/ready"], cwd=clone, env=environment, capture_output=True, text=True, check=False)


def test_packages_go_into_the_environment_whatever_pip_is_told(clone: Path) -> None:
    elsewhere = clone / "elsewhere"
    done = make(clone, PIP_USER="1", PIP_TARGET=str(elsewhere), PIP_PREFIX=str(elsewhere), PYTHONSAFEPATH="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("creating .venv and installing requirements.txt")
    assert "uv is not available or failed; using pip" in done.stderr
    assert not elsewhere.exists()
    (clone / "stage.py").write_text("import probe\n")
    activated = ["bash", "-c", ". .venv/bin/activate && python -m stage"]
    subprocess.run(activated, cwd=clone, env=os.environ | {"PYTHONSAFEPATH": "1"}, check=True)


def test_packages_installed_elsewhere_make_no_environment(clone: Path) -> None:
    (clone / "pip.conf").write_text(f"[install]\ntarget = {clone}/elsewhere\n")
    done = make(clone, PIP_CONFIG_FILE=str(clone / "pip.conf"))
    assert done.returncode == 2
    assert "error: the packages were not installed into .venv; " in done.stderr
    assert not (clone / ".venv/ready").exists()


def test_an_environment_with_a_wrong_package_is_not_ready(clone: Path) -> None:
    require(clone, "0" * 64)
    done = make(clone)
    assert done.returncode == 2
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not (clone / ".venv/ready").exists()


def pins(file: str) -> set[str]:
    return set(re.findall(r"^[\w.-]+==\S+", (ROOT / file).read_text(), re.MULTILINE))


def test_the_stages_run_on_the_versions_that_are_tested_and_on_no_test_tool() -> None:
    assert len(pins("requirements.txt")) > 100
    assert pins("requirements.txt") < pins("requirements-dev.txt")
    assert not any(pin.startswith(("pytest", "ruff", "mypy", "uv=")) for pin in pins("requirements.txt"))


@pytest.mark.parametrize("prepared", ["nothing", "repository", "another repository's folder"])
@pytest.mark.parametrize("target", ["repro", "exp"])
def test_without_a_commit_two_commands_help_before_anything_is_installed(tmp_path: Path, prepared: str, target: str) -> None:
    folder = tmp_path / "unpacked"
    folder.mkdir()
    for name in ("Makefile", "params.yaml", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "MAKE"))}
    environment |= {
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_CEILING_DIRECTORIES": str(tmp_path.parent),
    }
    if prepared != "nothing":
        subprocess.run(["git", "init", "-q"], cwd=folder if prepared == "repository" else tmp_path, env=environment, check=True)
    # Also with -j, which would begin all prerequisites at once.
    command = ["make", "-j2", target]
    said = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    error, _ = said.stderr.splitlines()  # the second line is make's own
    assert (said.returncode, said.stdout) == (2, "")
    assert error.startswith("error: DVC needs git and a commit of these files; run `git init` and `git add -A && ")
    assert not (folder / ".venv").exists()
    for advised in error.split("`")[1::2]:
        subprocess.run(advised, shell=True, cwd=folder, env=environment, check=True, capture_output=True)
    subprocess.run(["make", ".git-commit", ".git-identity"], cwd=folder, env=environment, check=True)


def test_a_folder_of_another_user_is_reported_with_the_command_of_git(tmp_path: Path) -> None:
    for name in ("Makefile", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    # git's own tests make it take the folder for another user's.
    environment = os.environ | {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1", "GIT_CONFIG_GLOBAL": str(tmp_path / "config")}
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    said = subprocess.run(["make", "repro"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    advised = f"git config --global --add safe.directory {tmp_path}"
    assert said.stderr.startswith(f"error: this folder belongs to another user, so git does not read it; run `{advised}`, ")
