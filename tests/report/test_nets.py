"""The report tells every net and setting as it is: kernels, towers, crops, noise, means, small images."""

import re
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from helpers.making import read, report
from helpers.page_reader import Page
from helpers.sample_run import write_run
from PIL import Image

from alexnet.config.nets import NETS
from alexnet.files.whole import read_json, write_json
from alexnet.input.colors import color_axes
from alexnet.report import drawings, pages, pictures


class Sheet(NamedTuple):
    """What the report shows of the kernels of a net."""

    model: str
    changes: dict[str, Any]
    title: str
    kernels: str
    grid: tuple[int, int]
    """Rows and columns."""
    towers: int


SHEETS = [
    Sheet("alexnet", {}, "AlexNet", "96 kernels of conv1, 11×11×3", (6, 16), 2),
    Sheet("alexnet", {"towers": 1}, "AlexNet", "96 kernels of conv1, 11×11×3", (6, 16), 1),
    Sheet("alexnet-simplified", {}, "Simplified AlexNet", "96 kernels of conv1, 11×11×3", (6, 16), 1),
    Sheet("alexnet-owt", {}, "torchvision's AlexNet", "64 kernels of conv1, 11×11×3", (8, 8), 1),
    Sheet("alexnet-32", {}, "AlexNet-32", "48 kernels of conv1, 5×5×3", (6, 8), 2),
    Sheet("cifar-four-layer", {}, "Four-layer net", "32 kernels of conv1, 5×5×3", (4, 8), 1),
    Sheet("cifar-conv-local", {}, "Locally connected net", "64 kernels of conv1, 5×5×3", (8, 8), 1),
]


Drawn = dict[str, str | bytes]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """The pictures of a run, for tests of words alone."""
    drawn: Drawn = {}
    for model in ("cifar-conv-local", "alexnet"):  # the other nets have no layers that neither of them has
        root = tmp_path_factory.mktemp(model)
        write_run(root, model)
        drawn |= drawings.draw(read(root))
    return drawn


def texts(root: Path, drawn: Drawn, model: str = "alexnet", **changes: Any) -> tuple[str, str]:
    """The words of both pages of a run, with pictures of another."""
    write_run(root, model, **changes)
    return words_of(root, drawn)


def words_of(root: Path, drawn: Drawn) -> tuple[str, str]:
    readme, html = pages.render(read(root), drawn, root)
    return Page(html).text, readme


def drawn_texts(root: Path, model: str = "alexnet", **changes: Any) -> tuple[str, str]:
    """The words of both pages of a run, which are written with all their pictures."""
    write_run(root, model, **changes)
    page, readme = report(root)
    assert page.open == []
    return page.text, readme


@pytest.mark.parametrize("sheet", SHEETS)
def test_every_net_shows_its_own_kernels(tmp_path: Path, sheet: Sheet) -> None:
    for text in drawn_texts(tmp_path, sheet.model, **sheet.changes):
        assert f"The {sheet.kernels} weights each" in text
        assert ("first tower" in text) == (sheet.towers == 2)
        assert f"{sheet.title} on digits" in text
    with Image.open(tmp_path / "reports/figures/kernels.png") as picture:
        opaque = np.asarray(picture)[:, :, 3] > 0
    for axis, count in enumerate(sheet.grid):
        edges = np.flatnonzero(np.diff(np.pad(opaque.any(1 - axis).astype(int), 1)))
        assert len(edges) == 2 * count
        assert ((edges[1::2] - edges[::2]) >= 60).all()  # each of them can be seen
        gaps = edges[2::2] - edges[1:-1:2]
        middle = gaps[count // 2 - 1]
        assert (middle > gaps.min()) == (axis == 0 and sheet.towers == 2)


@pytest.mark.parametrize("model", NETS)
def test_every_net_goes_by_its_title(tmp_path: Path, drawn: Drawn, model: str) -> None:
    assert all(f"{NETS[model].title} on digits" in text for text in texts(tmp_path, drawn, model))


def test_switches_that_depart_from_the_paper_are_named_and_no_others(tmp_path: Path, drawn: Drawn) -> None:
    switched: dict[str, Any] = {"activation": "tanh", "pool": "plain", "lrn": "off", "towers": 1, "dropout": "off"}
    said = (
        "tanh units, pooling windows that do not overlap, no local response normalisation, no groups and no dropout, trained on"
    )
    assert all(said in text for text in texts(tmp_path, drawn, **switched))
    assert all("(2012), trained on" in text for text in texts(tmp_path, drawn))


def test_small_images_are_enlarged_by_whole_pixels(tmp_path: Path) -> None:
    drawn_texts(tmp_path, "alexnet-32", mean="image")
    figures, evaluation = tmp_path / "reports/figures", tmp_path / "data/evaluation"
    drawing = (figures / "sample-0.svg").read_text()
    embedded = re.search(r"data:image/png;base64,([^\"]+)", drawing)
    assert embedded
    shown = np.asarray(Image.open(BytesIO(b64decode(embedded[1]))))
    original = np.asarray(Image.open(evaluation / "sample-0.jpg"))
    assert original.shape == (32, 32, 3)
    np.testing.assert_array_equal(shown, np.kron(original, np.ones((8, 8, 1), np.uint8)))
    for name, expected in (("noise-0.jpg", original), ("mean.jpg", np.load(tmp_path / "data/mean.npy").transpose(1, 2, 0))):
        shown = np.asarray(Image.open(figures / name), float)
        np.testing.assert_allclose(shown, np.kron(expected, np.ones((8, 8, 1))), atol=4)


def test_large_images_stay_the_bytes_that_they_are(tmp_path: Path) -> None:
    drawn_texts(tmp_path)
    drawing = (tmp_path / "reports/figures/sample-0.svg").read_text()
    embedded = re.search(r"data:image/jpeg;base64,([^\"]+)", drawing)
    assert embedded
    assert b64decode(embedded[1]) == (tmp_path / "data/evaluation/sample-0.jpg").read_bytes()


@pytest.mark.parametrize("scale", ["stdev", "eigenvalues"])
def test_colour_noise_shown_is_the_training_s(tmp_path: Path, scale: str) -> None:
    page, readme = drawn_texts(tmp_path, color_noise=0.3, color_noise_scale=scale)
    basis = read_json(tmp_path / "data/eigenbasis.json")
    axes = color_axes(np.array(basis["eigenvalues"]), np.array(basis["eigenvectors"]), 0.3, scale)
    levels = ", ".join(f"{level:.1f}" for level in np.linalg.norm(axes, axis=0)[:2])
    formula = {"stdev": "α·√λ along", "eigenvalues": "α·λ/255 along"}[scale]
    assert all(f"deviations of {levels}" in text and formula in text and "deviation 0.3" in text for text in (page, readme))
    before, after = (np.asarray(Image.open(tmp_path / f"reports/figures/noise-{n}.jpg"), float) for n in (0, 1))
    draw = pictures.noise_alphas(1.0, 1)[0]
    inside = ((before > 40) & (before < 215)).all(2)
    np.testing.assert_allclose((after - before)[inside].mean(0), axes @ draw, atol=1.5)


def test_no_colour_noise_is_said_and_not_drawn(tmp_path: Path) -> None:
    for text in drawn_texts(tmp_path, color_noise=0.0):
        assert "The training added no colour noise." in text
        assert "with dropout and random crops" in text
    assert not list((tmp_path / "reports/figures").glob("noise-*"))


def test_what_shakes_the_training_is_named_and_nothing_else(tmp_path: Path, drawn: Drawn) -> None:
    assert all("with dropout, random crops, reflections and colour noise." in text for text in texts(tmp_path, drawn, flip=True))
    still: dict[str, Any] = {"dropout": "off", "crop_size": 32, "crop_padding": 0, "color_noise": 0.0}
    for text in texts(tmp_path, drawn, "alexnet-32", **still):
        assert "while the weights change. Blue" in text
        assert "is measured with" not in text


def test_mean_and_scale_are_reported_as_they_are_subtracted_and_divided(tmp_path: Path) -> None:
    for text in drawn_texts(tmp_path, mean="channel", scale="unit"):
        assert "The mean colour of the training images" in text
        deviations = np.sqrt(np.diag(read_json(tmp_path / "data/eigenbasis.json")["covariance"]))
        assert "standard deviation, {:.1f}, {:.1f} and {:.1f} for R, G and B".format(*deviations) in text
    colour = np.load(tmp_path / "data/mean.npy").mean((1, 2))
    shown = np.asarray(Image.open(tmp_path / "reports/figures/mean.jpg"), float)
    np.testing.assert_allclose(shown, np.broadcast_to(colour, shown.shape), atol=3)
    assert all("The pixels stay on the scale 0 to 255" in text and "mean colour of" not in text for text in drawn_texts(tmp_path))


@pytest.mark.parametrize(
    ("changes", "said", "views"),
    [
        ({"crop_size": 28, "crop_padding": 0}, "may not keep its class, so there are five crops", "Five"),
        ({"crop_size": 28, "crop_padding": 0, "flip": True}, "Ten crops are the four corners, the centre", "Ten"),
        ({"crop_size": 28, "crop_padding": 0, "flip": False}, "Reflections are switched off, so there are five crops", "Five"),
        ({"crop_size": 32, "crop_padding": 4}, "corner crops reach into the 4 pixels of padding around each image", "Five"),
        ({"crop_size": 32, "crop_padding": 0}, "all five crops, without reflections, are the same as the centre crop", "Five"),
        ({"crop_size": 32, "crop_padding": 0, "flip": True}, "the image and its mirror image, five times each", "Ten"),
    ],
)
def test_crops_are_reported_as_they_are_cut(tmp_path: Path, drawn: Drawn, changes: dict[str, Any], said: str, views: str) -> None:
    for text in texts(tmp_path, drawn, "alexnet-32", **changes):
        assert said in text
        assert f"{views} crops" in text
        assert ("pixels of padding" in text) == (changes["crop_padding"] > 0)


@pytest.mark.parametrize("worse", [True, False])
def test_crops_that_do_worse_than_the_centre_are_explained(tmp_path: Path, drawn: Drawn, worse: bool) -> None:
    write_run(tmp_path)
    metrics = read_json(tmp_path / "reports/metrics.json")
    metrics["ten_crop"]["top1_error"] = metrics["center"]["top1_error"] + (0.02 if worse else 0)
    write_json(tmp_path / "reports/metrics.json", metrics)
    assert all(("do worse than the centre crop" in text) == worse for text in words_of(tmp_path, drawn))


@pytest.mark.parametrize("quality", [60, 95])
def test_settings_of_the_images_are_listed(tmp_path: Path, drawn: Drawn, quality: int) -> None:
    page, readme = texts(tmp_path, drawn, "cifar-four-layer", **{"data.source": "cifar10", "preprocess.quality": quality})
    for name, value in {"data.source": "cifar10", "preprocess.size": 32, "preprocess.quality": quality}.items():
        assert f"| `{name}` | {value} |" in readme
        assert re.search(rf"{name}\s*{value}\s", page)


def test_a_data_set_of_torchvision_is_called_by_its_name(tmp_path: Path, drawn: Drawn) -> None:
    write_run(tmp_path)
    card = read_json(tmp_path / "models/alexnet.json")
    write_json(tmp_path / "models/alexnet.json", card | {"data": card["data"] | {"source": "torchvision/Flowers102"}})
    page, readme = words_of(tmp_path, drawn)
    assert "AlexNet on Flowers102: " in readme.splitlines()[0]
    for text in (page, readme):
        assert re.search(r"data\.name\W*Flowers102\W", text)
        assert re.search(r"data\.source\W*torchvision\W", text)


def test_rate_that_falls_each_epoch_is_reported_and_not_marked(tmp_path: Path) -> None:
    assert all(
        "The learning rate fell along half a cosine, from 0.01" in text for text in drawn_texts(tmp_path, lr_schedule="cosine")
    )
    assert ">lr " not in (tmp_path / "reports/figures/loss.svg").read_text()


def test_early_end_and_a_start_from_other_weights_are_reported(tmp_path: Path, drawn: Drawn) -> None:
    write_run(tmp_path, init_from="0f4c" * 16, early_stop=3)
    card = read_json(tmp_path / "models/alexnet.json")
    write_json(tmp_path / "models/alexnet.json", card | {"settings": card["settings"] | {"epochs": 20}})
    for text in words_of(tmp_path, drawn):
        assert "trained from the weights of another training on" in text
        assert "could have taken 20 epochs; it ended after 3 without" in text
