"""The report shows the net's mistakes, nearest images, costs and kernels as evaluate found them."""

import re
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.making import read, report
from helpers.sample_run import write_run
from PIL import Image

from alexnet.config.nets import NETS
from alexnet.files.whole import read_json, write_json
from alexnet.report import drawings, theme
from alexnet.report.environment import compact


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run")
    write_run(root)
    report(root)
    return root


def shown(drawing: str) -> list[str]:
    """The words of a drawing, without those that appear under a pointer."""
    return re.findall(r"<text[^>]*>([^<]*)", re.sub("<title>[^<]*</title>", "", drawing))


def test_mistakes_are_shown_with_their_class_rank_and_row(run: Path) -> None:
    mistakes = read_json(run / "data/evaluation/mistakes.json")
    assert len(mistakes) == 8
    for number, mistake in enumerate(mistakes):
        words = shown((run / f"reports/figures/mistake-{number}.svg").read_text())
        guesses = [text for guess in mistake["top"] for text in (guess["class"], f"{100 * guess['probability']:.1f}\u00a0%")]
        assert words == [mistake["actual"], *guesses, f"true class on rank {mistake['rank_of_actual']}", f"row {mistake['row']}"]


def test_a_run_without_mistakes_has_no_such_section(tmp_path: Path) -> None:
    write_run(tmp_path)
    write_json(tmp_path / "data/evaluation/mistakes.json", [])
    page, readme = report(tmp_path)
    assert "Most confident mistakes" not in page.text and "Most confident mistakes" not in readme


def test_nearest_images_stand_in_order_and_say_whose_class_they_are(tmp_path: Path) -> None:
    write_run(tmp_path)
    file = tmp_path / "data/evaluation/nearest.json"
    content = read_json(file)
    nearest = content["samples"][0]["nearest"]
    nearest[1]["actual"], nearest[4]["actual"] = "another", "one more"
    write_json(file, content)
    inputs = read(tmp_path)
    drawing = drawings.draw_nearest(inputs.samples[0], inputs.nearest.samples[0])
    bars = re.findall(r'height="3" style="fill: (#\w+)', drawing)
    assert [bar == theme.BLUE for bar in bars] == [entry["actual"] == inputs.samples[0].actual for entry in nearest]
    assert shown(drawing)[-1] == "1 × another, 1 × one more"
    embedded = [np.asarray(Image.open(BytesIO(b64decode(text))), float) for text in re.findall(r"base64,([^\"]+)", drawing)]
    for picture, entry in zip(embedded[1:], nearest, strict=True):
        original = Image.open(file.with_name(entry["file"])).resize((72, 72), Image.Resampling.BOX)
        assert np.abs(picture - np.asarray(original, float)).mean() < 12


@pytest.mark.parametrize(("model", "precision", "size"), [("alexnet", "float32", 4), ("cifar-four-layer", "bfloat16", 2)])
def test_every_legal_cut_is_drawn_with_the_bytes_of_an_image(tmp_path: Path, model: str, precision: str, size: int) -> None:
    write_run(tmp_path, model, precision=precision)
    layers = {layer["name"]: layer for layer in read_json(tmp_path / "data/evaluation/layers.json")}
    drawing = drawings.draw_net(read(tmp_path))
    assert drawing.count("stroke-dasharray") == len(NETS[model].cuts)
    for cut in NETS[model].cuts:
        label = f"cut: {compact(size * layers[cut]['input_values'])}B"
        assert shown(drawing)[shown(drawing).index(cut) - 1] == label
    for name, layer in layers.items():
        row = shown(drawing)[shown(drawing).index(name) :][:4]
        assert row == [name, "×".join(map(str, layer["output"])), compact(layer["macs"]), compact(layer["parameters"])]


def test_the_pipeline_of_a_training_leaves_no_trace(run: Path, tmp_path: Path) -> None:
    other: dict[str, Any] = {"pipeline.ranks": 1, "pipeline.cuts": ["fc6"], "pipeline.schedule": "1F1B"}
    write_run(tmp_path, **other)
    report(tmp_path)
    for path in (run / "reports").rglob("*.*"):
        assert (tmp_path / path.relative_to(run)).read_bytes() == path.read_bytes()


def test_kernels_are_called_noise_only_if_they_are(run: Path, tmp_path: Path) -> None:
    said = "hardly differ from the random numbers that they were before: after 972 steps"
    assert said not in (run / "reports/README.md").read_text()
    write_run(tmp_path)
    kernels = tmp_path / "data/evaluation/kernels.npy"
    np.save(kernels, np.random.default_rng(0).normal(0, 0.01, np.load(kernels).shape).astype(np.float32))
    assert all(said in text for text in (report(tmp_path)[0].text, (tmp_path / "reports/README.md").read_text()))


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (999, "999"), (34_944, "34.9 k"), (999_700, "1 M"), (105_415_200, "105 M"), (10**9, "1 G")]
)
def test_large_numbers_are_shortened_to_three_digits(number: int, text: str) -> None:
    assert compact(number) == text.replace(" ", "\u00a0")
