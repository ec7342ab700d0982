"""The commands download, pca and preprocess, on a small folder of pictures."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.staged import params_text
from PIL import Image
from ruamel.yaml import YAML
from sklearn.datasets import load_sample_images

REPOSITORY = Path(__file__).parents[2]
STAGES = ("download", "pca", "preprocess")
OLD_KERNELS = {"OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": "X86_V3", "JSIMD_FORCENONE": "1"}
"""Makes OpenBLAS, numpy and libjpeg-turbo compute as on a processor of 2004."""


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """A main repository with pictures of two classes and a params.yaml that names their folder."""
    place = tmp_path / "main"
    for label, photo in enumerate(load_sample_images().images):
        (place / f"images/train/class{label}").mkdir(parents=True)
        # A large JPEG is decoded at a half of its size and made smaller by products of matrices.
        Image.fromarray(photo).resize((1280, 854)).save(place / f"images/train/class{label}/0.jpg")
        for number in range(1, 20):
            patch = photo[number : number + 100, 10 * number : 10 * number + 120]
            Image.fromarray(patch).save(place / f"images/train/class{label}/{number}.png")
    set_params(place)
    return place


def set_params(place: Path, **data: object) -> None:
    yaml = YAML()
    params = yaml.load(params_text())
    params["data"].update({"source": "folder", "root": "images", "max_rejects": 2} | data)
    yaml.dump(params, place / "params.yaml")


def run(stage: str, place: Path, main: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "DVC_ROOT": str(main or place)}
    return subprocess.run(
        [sys.executable, "-m", f"stages.{stage}"], cwd=place, env=environment, capture_output=True, text=True, check=False
    )


def run_all(place: Path, main: Path | None = None) -> list[str]:
    lines = []
    for stage in STAGES:
        done = run(stage, place, main)
        assert done.returncode == 0, done.stderr
        lines.append(done.stderr)
    return lines


def outs(place: Path) -> dict[str, str]:
    return {
        path.relative_to(place).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((place / "data").rglob("*"))
        if path.is_file()
    }


def test_the_outs_are_the_same_in_a_temporary_folder_and_with_the_kernels_for_an_older_processor(
    main: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (main / "images/train/class0/zero.png").touch()
    lines = run_all(main)
    assert lines[0] == "download: 2 classes, 29 train, 4 val, 8 test images of folder\n"
    assert (
        lines[2] == "preprocess: 40 images, 1 rejected, listed in data/shards/rejects.csv: train/class0/zero.png (empty file)\n"
    )
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    (temporary / "params.yaml").write_bytes((main / "params.yaml").read_bytes())
    for name, value in OLD_KERNELS.items():
        monkeypatch.setenv(name, value)
    run_all(temporary, main)
    assert outs(temporary) == outs(main)
    for name in ("raw/manifest.csv", "raw/source.json", "eigenbasis.json", "mean.npy", "shards/meta.json", "shards/rejects.csv"):
        assert f"data/{name}" in outs(main)
    assert not any(str(tmp_path).encode() in path.read_bytes() for path in (main / "data").rglob("*") if path.is_file())


def test_download_names_the_folders_it_does_not_use_and_counts_the_files_it_leaves_out(main: Path) -> None:
    (main / "images/more").mkdir()
    for name in ("a.gif", "b.GIF", "c.txt", "README"):
        (main / "images/train/class0" / name).touch()
    assert run("download", main).stderr.splitlines() == [
        f"download: not used in {main}/images: more",
        "download: 2 classes, 28 train, 4 val, 8 test images of folder; left out: 2 .gif, 1 .txt, 1 without extension",
    ]


def test_a_changed_image_stops_preprocess_until_download_runs_again(main: Path) -> None:
    run("download", main)
    Image.new("RGB", (50, 50), "red").save(main / "images/train/class1/7.png")
    stopped = run("preprocess", main)
    assert (stopped.returncode, stopped.stdout) == (2, "")
    assert stopped.stderr.startswith("error: ")
    assert len(stopped.stderr.splitlines()) == 1
    assert "class1/7.png has changed" in stopped.stderr
    assert "dvc repro -f -s download" in stopped.stderr
    assert [run(stage, main).returncode for stage in ("download", "preprocess")] == [0, 0]


def test_a_source_without_network_says_what_to_do_by_hand(main: Path) -> None:
    set_params(main, source="cifar10")
    (main / "downloads").mkdir()
    (main / "downloads/cifar-10-binary.tar.gz").write_bytes(b"not the archive")
    stopped = run("download", main)
    assert stopped.returncode == 2
    assert "c32a1d4ab5d03f1284b67883e8d87530" in stopped.stderr
    assert len(stopped.stderr.splitlines()) == 1


@pytest.mark.parametrize("wait", [0.0, 0.03, 0.06, 0.3])
def test_ctrl_c_ends_a_stage_in_one_word_and_leaves_no_process(main: Path, wait: float) -> None:
    # What decodes is a server and its children: not there yet, loading, at work on an image that never comes.
    run("download", main)
    (main / "images/train/class1/7.png").unlink()
    os.mkfifo(main / "images/train/class1/7.png")
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    stage = subprocess.Popen(
        [sys.executable, "-m", "stages.preprocess"],
        cwd=main,
        env=environment,
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (main / "data/shards").exists():
        time.sleep(0.01)
    time.sleep(wait)
    os.killpg(stage.pid, signal.SIGINT)
    assert stage.communicate(timeout=120)[1] == "interrupted\n"
    assert stage.returncode == 130
    with pytest.raises(ProcessLookupError):
        for _ in range(6000):  # the fork server notices a moment later
            os.killpg(stage.pid, 0)
            time.sleep(0.01)
    assert not (main / "data/shards/meta.json").exists()
