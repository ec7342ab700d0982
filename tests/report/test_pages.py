"""The report: same bytes, complete, offline, true to its inputs, at any number of classes."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from helpers.making import report
from helpers.page_reader import Page
from helpers.sample_run import long_name, write_run
from PIL import Image

from alexnet.errors import UserError

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run")
    write_run(root)
    return root


@pytest.fixture(scope="module")
def made(run: Path) -> tuple[Page, str]:
    return report(run)


def percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}\u00a0%"


def test_two_processes_write_the_same_bytes(run: Path, tmp_path: Path) -> None:
    written = []
    for name, seed in (("one", "1"), ("two", "2")):
        copy = tmp_path / name
        shutil.copytree(run, copy)
        shutil.rmtree(copy / "reports/figures", ignore_errors=True)
        paths = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "tests")))
        command = [sys.executable, "-c", "from pathlib import Path; from helpers.making import report; report(Path())"]
        subprocess.run(command, cwd=copy, env=os.environ | {"PYTHONPATH": paths, "PYTHONHASHSEED": seed}, check=True)
        written.append({path.relative_to(copy): path.read_bytes() for path in (copy / "reports").rglob("*") if path.is_file()})
    assert written[0] == written[1]
    assert Path("reports/index.html") in written[0]


def test_page_is_well_formed_and_needs_nothing_beside_it(run: Path, made: tuple[Page, str]) -> None:
    page, _ = made
    assert page.open == []
    assert all(resource.startswith(("data:", "#")) for resource in page.resources)
    text = (run / "reports/index.html").read_text(encoding="utf-8")
    assert all(target.startswith("#") for target in re.findall(r"url\(['\"]?([^)'\"]*)", text))
    assert "@import" not in text
    assert "<script" not in text


def test_every_reference_inside_a_drawing_has_its_one_target(made: tuple[Page, str]) -> None:
    page, _ = made
    wanted = {resource[1:] for resource in page.resources if resource.startswith("#")}
    assert wanted
    assert wanted <= set(page.ids)


def test_readme_shows_every_picture_and_no_other_is_left(run: Path, made: tuple[Page, str]) -> None:
    _, readme = made
    shown = set(re.findall(r'src="([^"]+)"', readme)) | set(re.findall(r"!\[[^]]*\]\(([^)]+)\)", readme))
    (run / "reports/figures/sample-99.svg").write_text("of an earlier report")
    report(run)
    assert shown == {f"figures/{path.name}" for path in (run / "reports/figures").iterdir()}


def test_drawings_are_xml_without_date_or_program(run: Path, made: tuple[Page, str]) -> None:
    for path in (run / "reports/figures").glob("*.svg"):
        text = path.read_text(encoding="utf-8")
        assert ElementTree.fromstring(text).tag.endswith("svg")
        assert "metadata" not in text
        assert "matplotlib" not in text.lower()
    with Image.open(run / "reports/figures/kernels.png") as picture:
        assert not picture.info


def test_errors_shown_are_the_errors_measured(run: Path, made: tuple[Page, str]) -> None:
    page, readme = made
    metrics = json.loads((run / "reports/metrics.json").read_text())
    shown = {row[0]: row[1:] for row in page.tables["errors"]}
    for label, key in (("Centre crop", "center"), ("Five crops", "ten_crop")):
        errors = metrics[key]
        assert shown[label] == [percent(errors["top1_error"]), percent(errors["top5_error"]), f"{errors['loss']:.3f}"]
        assert {errors["top1_error"], errors["top5_error"], errors["loss"]} <= set(page.values)
        assert percent(errors["top1_error"]) in readme


def test_class_table_and_matrix_are_those_of_evaluate(run: Path, made: tuple[Page, str]) -> None:
    page, readme = made
    with (run / "data/evaluation/per_class.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            center, first, fifth = (percent(float(row[key])) for key in ("center_top1_error", "top1_error", "top5_error"))
            assert [row["class"], row["images"], center, first, "", fifth] in page.tables["classes"]
            assert f"| {row['class']} | {row['images']} | {center} | {first} | {fifth} |" in readme
    with (run / "data/evaluation/confusion.csv").open(encoding="utf-8") as file:
        counts = np.array([row[1:] for row in list(csv.reader(file))[1:]], int)
    drawing = (run / "reports/figures/confusion.svg").read_text()
    drawn = re.findall(r'font-size: 10px[^>]*text-anchor: middle[^>]*x="([\d.]+)" y="([\d.]+)"[^>]*>(\d+)</text>', drawing)
    places = sorted({float(x) for x, _, _ in drawn}), sorted({float(y) for _, y, _ in drawn})
    read = np.zeros_like(counts)
    for x, y, count in drawn:
        read[places[1].index(float(y)), places[0].index(float(x))] = count
    np.testing.assert_array_equal(read, counts)


def test_card_is_shown_whole(run: Path, made: tuple[Page, str]) -> None:
    page, readme = made
    card = json.loads((run / "models/alexnet.json").read_text())
    for text in (page.text, readme):
        assert card["sha256"][:12] in text
        assert all(digest[:12] in text for digest in card["data"]["sha256"].values())
        assert all(name in text for name in card["settings"])
    assert {*card["data"]["images"].values(), card["data"]["rejects"], card["parameters"]} <= set(page.values)


def test_source_without_flips_is_reported_as_five_crops(made: tuple[Page, str], tmp_path: Path) -> None:
    assert all("without reflections" in text for text in (made[0].text, made[1]))
    write_run(tmp_path, flip=True)
    page, readme = report(tmp_path)
    assert all("without reflections" not in text and "Ten crops" in text for text in (page.text, readme))


@pytest.mark.parametrize(("classes", "epochs"), [(2, 1), (30, 4), (1000, 90)])
def test_any_number_of_classes_and_long_names_make_a_report(tmp_path: Path, classes: int, epochs: int) -> None:
    write_run(tmp_path, classes=classes, epochs=epochs, name=long_name, color_noise=0.0)
    page, readme = report(tmp_path)
    assert page.open == []
    rows = [row for row in page.tables["classes"] if row[0] != "class"]
    assert len(rows) == (classes if classes <= 50 else 20)
    assert ("pairs" in page.tables) == (classes > 16)
    assert not any("noise-" in line for line in readme.splitlines())
    for table in re.findall(r"(?:^\|.*\n)+", readme, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert (tmp_path / "reports/index.html").stat().st_size < 2_000_000


def test_class_without_test_images_is_left_out_and_said(tmp_path: Path) -> None:
    write_run(tmp_path)
    table = tmp_path / "data/evaluation/per_class.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:-1], "9,0,,,"]) + "\n")
    page, readme = report(tmp_path)
    assert [row[0] for row in page.tables["classes"][1:]] == [str(digit) for digit in range(9)]
    assert all("1 class without a test image" in text and "nan" not in text.lower().split() for text in (page.text, readme))


@pytest.mark.parametrize("name", ["models/alexnet.json", "reports/train.csv", "data/mean.npy", "data/evaluation/sample-0.jpg"])
def test_missing_file_is_named_in_one_sentence(run: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(run, tmp_path / "copy")
    (tmp_path / "copy" / name).unlink()
    with pytest.raises(UserError, match=rf"{re.escape(name)} is missing; run `dvc repro` to make it"):
        report(tmp_path / "copy")


@pytest.mark.parametrize("name", ["reports/train.csv", "data/evaluation/kernels.npy", "data/evaluation/confusion.csv"])
def test_damaged_file_is_named_in_one_sentence(run: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(run, tmp_path / "copy")
    (tmp_path / "copy" / name).write_text("epoch,lr\nrubbish,\n")
    with pytest.raises(UserError, match=rf"{re.escape(name)} is damaged .*; run `dvc repro` to make it again"):
        report(tmp_path / "copy")
