"""The eigenbasis is exact, whatever the workers, and equals what others compute."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA

from alexnet.errors import UserError
from alexnet.prepare.color_stats import collect, eigenbasis, eigh, mean_image, sample, sums
from alexnet.prepare.squares import SquareSpec
from alexnet.sources.manifest import Manifest, Row


def test_it_equals_numpy_and_scikit_learn_on_all_pixels_at_once(images: Path, listed: Callable[[], Manifest]) -> None:
    spec = SquareSpec(images, "encoded", 64)
    rows = listed().of_split("train")
    total = collect(rows, spec, workers=2, max_rejects=0)
    ours = eigenbasis(total)
    squares = np.stack(list(spec.squares(rows))).astype(np.float64)
    pixels = squares.reshape(-1, 3)
    assert ours.images == len(rows) == len(squares)
    np.testing.assert_allclose(ours.mean, pixels.mean(0), rtol=1e-9)
    np.testing.assert_allclose(ours.covariance, np.cov(pixels.T, bias=True), rtol=1e-9)
    values, vectors = np.linalg.eigh(np.cov(pixels.T, bias=True))
    pca = PCA(3).fit(pixels)
    theirs = [
        (values[::-1], vectors[:, ::-1]),
        (pca.explained_variance_ * (len(pixels) - 1) / len(pixels), pca.components_.T),
    ]
    mine = np.array(ours.eigenvectors)
    for values, vectors in theirs:
        np.testing.assert_allclose(ours.eigenvalues, values, rtol=1e-9)
        np.testing.assert_allclose(mine, vectors * np.sign((mine * vectors).sum(0)), atol=1e-9)
    mean = mean_image(total)
    assert mean.dtype == np.float32
    assert mean.shape == (3, 64, 64)
    np.testing.assert_allclose(mean, squares.mean(0).transpose(2, 0, 1), rtol=1e-6)


def test_eigenvalues_descend_and_the_largest_component_is_positive(images: Path, listed: Callable[[], Manifest]) -> None:
    basis = eigenbasis(collect(listed().of_split("train"), SquareSpec(images, "encoded", 32), workers=1, max_rejects=0))
    assert basis.eigenvalues == sorted(basis.eigenvalues, reverse=True)
    vectors = np.array(basis.eigenvectors)
    assert all(column[np.abs(column).argmax()] > 0 for column in vectors.T)


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_the_eigenbasis_equals_lapacks_to_twelve_digits(rank: int) -> None:
    factors = np.random.default_rng(rank).normal(size=(100, 3, rank)) * 100
    for matrix in factors @ factors.transpose(0, 2, 1):
        values, vectors = eigh(matrix)
        largest = max(values[-1], 1.0)
        np.testing.assert_allclose(values, np.linalg.eigh(matrix).eigenvalues, rtol=0, atol=1e-12 * largest)
        np.testing.assert_allclose(vectors @ np.diag(values) @ vectors.T, matrix, rtol=0, atol=1e-12 * largest)
        np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), rtol=0, atol=1e-12)


def test_eight_workers_give_the_numbers_of_one(images: Path, listed: Callable[[], Manifest]) -> None:
    spec = SquareSpec(images, "encoded", 48)
    one, eight = (collect(3 * list(listed().of_split("train")), spec, workers=count, max_rejects=0) for count in (1, 8))
    assert eigenbasis(one) == eigenbasis(eight)
    assert mean_image(one).tobytes() == mean_image(eight).tobytes()


def test_many_bright_images_do_not_run_over(images: Path, listed: Callable[[], Manifest], encoded: Callable[..., bytes]) -> None:
    (images / "train/cat/00.jpg").write_bytes(encoded(Image.new("RGB", (8, 8), "white"), "PNG"))
    row = next(row for row in listed().rows if row.path.endswith("cat/00.jpg"))
    total = sums(600 * [(0, row)], SquareSpec(images, "encoded", 8))
    assert (total.image == 600 * 255).all()
    assert (total.products == 600 * 64 * 255**2).all()
    assert total.images == 600


def test_unreadable_images_are_skipped_up_to_the_limit(images: Path, listed: Callable[[], Manifest]) -> None:
    (images / "train/cat/zero.jpg").touch()
    (images / "train/cat/text.jpg").write_text("no image")
    manifest = listed()
    rows = list(enumerate(manifest.rows))
    total = collect(rows, SquareSpec(images, "encoded", 32), workers=1, max_rejects=2)
    assert (total.images, len(total.rejects)) == (80, 2)
    with pytest.raises(UserError, match=r"more than 1 images cannot be read.*max_rejects"):
        collect(rows, SquareSpec(images, "encoded", 32), workers=1, max_rejects=1)


def test_no_image_at_all_is_refused(images: Path, listed: Callable[[], Manifest]) -> None:
    (images / "train/cat/00.jpg").write_text("no image")
    rows = [(number, row) for number, row in enumerate(listed().rows) if row.path.endswith("cat/00.jpg")]
    with pytest.raises(
        UserError, match=r"none of 1 training images can be read: train/cat/00.jpg \(not a JPEG.*\); check data.root"
    ):
        collect(rows, SquareSpec(images, "encoded", 32), workers=1, max_rejects=5)


def test_grey_images_have_no_negative_eigenvalue(
    images: Path, listed: Callable[[], Manifest], patch: Callable[..., Image.Image]
) -> None:
    for path in images.rglob("*.jpg"):
        patch(int(path.stem)).convert("L").save(path)
    basis = eigenbasis(collect(listed().of_split("train"), SquareSpec(images, "encoded", 32), workers=1, max_rejects=0))
    assert min(basis.eigenvalues) >= 0


def test_a_sample_is_spread_evenly() -> None:
    rows = [(number, Row("train", 0, f"{number}.jpg")) for number in range(10)]
    assert [number for number, _ in sample(rows, 5)] == [0, 2, 4, 6, 8]
    assert sample(rows, None) == sample(rows, 99) == rows
