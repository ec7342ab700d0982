"""Class folders and files of any name go through all stages, and the report shows them as they are."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from helpers.asking import ask
from helpers.nets import settings_of
from helpers.page_reader import Page
from markdown_it import MarkdownIt
from PIL import Image
from ruamel.yaml import YAML
from sklearn.datasets import load_sample_images

from alexnet.names import printable
from alexnet.report.canvas import shortened
from alexnet.sources import manifest

REPOSITORY = Path(__file__).parents[2]
CLASSES = sorted(
    [
        "$x^$", "$5 or $10", "a\x01b", "\x1b[31mred\x7f", "ends in\r", "mid\rdle", "line\nbreak", "crlf\r\n", "=a, \"b\"",
        "NaN", "None", "1e5", "7", "007", "<b>|`&amp;`", "{{ 7 }}_*[", "\u202eمرحبا", "👩\u200d👧 猫", "w" * 255, "-rf",
        "ls\u2028\ufffe",
    ]
)  # fmt: skip
FILES = [os.fsdecode(b"bad\xff.png"), "$cr$\r.png", 'a\n,"b".png']
ALL_STAGES = """
import importlib
from stages.command import run

for name in ("download", "pca", "preprocess", "train", "evaluate", "report"):
    stage = importlib.import_module(f"stages.{name}")
    run(stage.main, getattr(stage, "Params", None))
"""


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory in which all stages have run on such names."""
    root = tmp_path_factory.mktemp("walked")
    photo = load_sample_images().images[0]
    for label, name in enumerate(CLASSES):
        (root / "images/train" / name).mkdir(parents=True)
        for number, file in enumerate(FILES):
            patch = photo[10 * label : 10 * label + 32, 50 * number : 50 * number + 32]
            Image.fromarray(patch).save(root / "images/train" / name / file)
    (root / "images/train" / CLASSES[0] / "broken\r\n.png").write_bytes(b"no image")
    changes = {"data.source": "folder", "data.root": "images", "batch_size": 10, "epochs": 1, "pipeline.ranks": 1}
    YAML().dump(settings_of("cifar10-32", **changes), root / "params.yaml")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment |= {"PYTHONPATH": str(REPOSITORY), "DVC_ROOT": str(root)}
    command = [sys.executable, "-c", ALL_STAGES]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return root


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.reader(file))[1:]


def test_the_files_between_the_stages_have_the_names_as_they_are(walked: Path) -> None:
    found = {path.relative_to(walked / "images").as_posix() for path in (walked / "images").rglob("*.png")}
    assert {row.path for row in manifest.read(walked / "data/raw").rows} == found
    assert json.loads((walked / "models/alexnet.json").read_text())["classes"] == CLASSES
    (reject,) = rows(walked / "data/shards/rejects.csv")
    assert reject[1] == f"train/{CLASSES[0]}/broken\r\n.png"
    evaluation = walked / "data/evaluation"
    assert [row[0] for row in rows(evaluation / "per_class.csv")] == CLASSES
    assert [row[0] for row in rows(evaluation / "confusion.csv")] == CLASSES
    assert sorted(row[1] for row in rows(evaluation / "predictions.csv")) == CLASSES


def test_every_drawing_is_xml_with_the_names_in_it(walked: Path) -> None:
    texts = {
        path.name: ["".join(text.itertext()) for text in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")]
        for path in (walked / "reports/figures").glob("*.svg")
    }
    assert len([name for name in texts if name.startswith("sample-")]) == 8
    for name in CLASSES:
        assert texts["confusion.svg"].count(shortened(printable(name), 16)) == 2


def test_both_pages_have_a_row_for_every_name(walked: Path) -> None:
    """The README read by a parser of Markdown: no name may end a cell, or become a formula or an element."""
    page = Page((walked / "reports/index.html").read_bytes().decode())
    assert page.open == []
    shown = [shortened(printable(name), 36) for name in CLASSES]
    assert [row[0] for row in page.tables["classes"][1:]] == shown
    text = (walked / "reports/README.md").read_bytes().decode()
    readme = Page(MarkdownIt("commonmark", {"xhtmlOut": False}).enable("table").render(text))
    assert readme.open == []
    named = [row for row in readme.tables[""] if row[0] in shown and len(row) == 5 and row[1] == "1"]
    assert [row[0] for row in named] == shown
    classes = f"Classes: {' · '.join(shown)}."
    assert classes in page.text and classes in readme.text
    assert text.count("$") == text.count("<span>$</span>") + sum(line.count("$") for line in text.splitlines() if "alt=" in line)


def test_a_prediction_is_printed_line_by_line(walked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = [walked / "images/train/7" / name for name in (*FILES, "gone\n.png")]
    assert ask("predict", "--model", walked / "models/alexnet.safetensors", *images) == 2
    out, err = capsys.readouterr()
    assert out.splitlines()[::6] == [printable(image) for image in images[:3]]
    assert {line.split("%  ")[1] for line in out.splitlines() if not line.startswith("/")} <= {
        printable(name) for name in CLASSES
    }
    assert len(out.splitlines()) == 18
    assert err == f"error: {printable(images[-1])} cannot be read as an image (No such file or directory); choose another file\n"
