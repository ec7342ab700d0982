"""The digits: divided without leaks, a function of the seed, colourful and legible."""

import csv
import io
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from alexnet.config.data import Source
from alexnet.prepare.color_stats import collect, eigenbasis
from alexnet.prepare.squares import SquareSpec
from alexnet.sources import manifest
from alexnet.sources.collect import collect as collect_source


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits with two blends, made twice."""
    folder = tmp_path_factory.mktemp("digits")
    for name in ("one", "again"):
        settings = Source.model_validate(
            {"source": "digits", "name": None, "root": None, "val_fraction": 0.1, "test_fraction": 0.2}
            | {"limit": None, "blends": 2}
        )
        manifest.write(folder / name, collect_source(settings, 0, main=folder, raw=folder / name)[0])
    return folder


def figures(folder: Path) -> list[tuple[str, str]]:
    """(split, digit) of each picture, by the names in the archive."""
    with tarfile.open(folder / "digits.tar") as archive:
        names = [name.split("/") for name in archive.getnames()]
    return [(split, file.partition("-")[0]) for split, _, file in names]


def test_the_same_seed_gives_the_same_bytes(raw: Path) -> None:
    for name in ("digits.tar", "manifest.csv", "source.json"):
        assert (raw / "one" / name).read_bytes() == (raw / "again" / name).read_bytes()


def test_no_digit_is_in_two_splits_and_only_training_digits_are_blended_twice(raw: Path) -> None:
    counts = Counter(figures(raw / "one"))
    assert len({digit for _, digit in counts}) == len(counts) == 1797
    assert {(split, count) for (split, _), count in counts.items()} == {("train", 2), ("val", 1), ("test", 1)}


def test_the_test_is_a_fifth_of_each_class(raw: Path) -> None:
    everything = Counter(load_digits().target.tolist())
    test = Counter(row.label for _, row in manifest.read(raw / "one").of_split("test"))
    assert all(abs(test[label] - everything[label] / 5) <= 0.5 for label in range(10))


def test_the_manifest_points_at_the_pictures(raw: Path) -> None:
    with (raw / "one/manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    with tarfile.open(raw / "one/digits.tar") as archive:
        members = {(member.offset_data, member.size): member.name for member in archive}
    for row in rows:
        split, label, _ = members[int(row["offset"]), int(row["bytes"])].split("/")
        assert (row["split"], row["label"]) == (split, label)


def test_the_covariance_has_three_clear_eigenvalues(raw: Path) -> None:
    rows = manifest.read(raw / "one").of_split("val")
    basis = eigenbasis(collect(rows, SquareSpec(raw / "one", "encoded", 64), workers=1, max_rejects=0))
    assert basis.eigenvalues[2] > 100


def test_the_figures_can_be_told_apart(raw: Path) -> None:
    listed = manifest.read(raw / "one")
    spec = SquareSpec(raw / "one", "encoded", 32)

    def features(split: str) -> tuple[NDArray[np.float64], list[int]]:
        rows = listed.of_split(split)
        squares = np.stack(list(spec.squares(rows))).astype(float)
        # The figure is one colour on a patch: its distance from the median colour shows it, whatever the colour.
        distance = np.linalg.norm(squares - np.median(squares, (1, 2), keepdims=True), axis=3).reshape(len(squares), -1)
        return distance / np.linalg.norm(distance, axis=1, keepdims=True), [row.label for _, row in rows]

    neighbours = KNeighborsClassifier(3).fit(*features("train"))
    assert neighbours.score(*features("test")) > 0.4  # a tenth by chance


def test_pictures_are_png_of_64(raw: Path) -> None:
    row = manifest.read(raw / "one").rows[0]
    image = Image.open(io.BytesIO(manifest.read_image(raw / "one", row)))
    assert (image.format, image.size, image.mode) == ("PNG", (64, 64), "RGB")
