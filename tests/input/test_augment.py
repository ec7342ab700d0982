"""Orders, crops, flips and colour noise: functions of (seed, epoch, image), with the paper's statistics."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
import torch
from numpy.typing import NDArray
from scipy import stats

from alexnet.files.eigenbasis import Eigenbasis
from alexnet.input.augment import Normalization, Views, apply, apply_together, center_views, order, random_views
from alexnet.input.colors import color_axes, mean_of, scale_of
from alexnet.input.loader import BatchLoader, Transform
from alexnet.input.shards import Shards
from alexnet.prepare.color_stats import collect, eigenbasis, mean_image
from alexnet.prepare.squares import Reject, SquareSpec
from alexnet.sources.manifest import Manifest

CPU = torch.device("cpu")

VALUES = np.array([9000.0, 400.0, 100.0])
VECTORS = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]


def test_an_epoch_is_a_permutation_and_another_epoch_is_another() -> None:
    first, second = order(0, 1, 1000), order(0, 2, 1000)
    assert sorted(first) == sorted(second) == list(range(1000))
    assert (first != second).any()
    assert (first != order(1, 1, 1000)).any()
    assert (first == order(0, 1, 1000)).all()


@pytest.mark.parametrize("margin", [29, 32, 12, 0])
def test_crops_reach_every_place_alike_and_half_are_mirrored(margin: int) -> None:
    views = random_views(0, 1, 20_000, margin, flip=True, noise=np.zeros((3, 3)))
    for offsets in (views.top, views.left):
        counts = np.bincount(offsets, minlength=margin + 1)
        assert len(counts) == margin + 1
        assert stats.chisquare(counts).pvalue > 1e-3 or margin == 0
    assert abs(views.flip.mean() - 0.5) < 0.02
    if margin:
        assert abs(np.corrcoef(views.top, views.left)[0, 1]) < 0.03
    assert not random_views(0, 1, 100, margin, flip=False, noise=np.zeros((3, 3))).flip.any()


@pytest.mark.parametrize(("scale", "lengths"), [("stdev", np.sqrt(VALUES)), ("eigenvalues", 255 * (VALUES / 255**2))])
def test_colour_noise_is_normal_along_the_eigenvectors(scale: str, lengths: NDArray[np.float64]) -> None:
    """Of 0.1 times the pixels' standard deviations, or times the eigenvalues of pixels in 0..1, put on the 0-255 scale."""
    noise = random_views(3, 1, 200_000, 29, True, color_axes(VALUES, VECTORS, 0.1, scale)).noise.astype(np.float64)
    weights = noise @ VECTORS / lengths
    np.testing.assert_allclose(np.cov(weights.T), 0.01 * np.eye(3), atol=1e-4)
    np.testing.assert_allclose(weights.mean(0), 0, atol=1e-3)
    assert all(stats.kstest(column, stats.norm(0, 0.1).cdf).pvalue > 1e-3 for column in weights.T)


def test_no_colour_noise_is_no_noise() -> None:
    assert not random_views(3, 1, 100, 29, True, color_axes(VALUES, VECTORS, 0.0, "stdev")).noise.any()


def test_views_differ_from_epoch_to_epoch_and_repeat_themselves() -> None:
    axes = color_axes(VALUES, VECTORS, 0.1, "stdev")
    one, again, two = (random_views(0, epoch, 50, 29, True, axes) for epoch in (1, 1, 2))
    assert (one.noise == again.noise).all()
    assert (one.top == again.top).all()
    assert (one.noise != two.noise).all()


def test_apply_subtracts_the_mean_at_the_crops_place_then_mirrors_then_adds_the_noise() -> None:
    random = np.random.default_rng(0)
    squares = random.integers(0, 256, (4, 12, 12, 3), dtype=np.uint8)
    mean = random.normal(110, 40, (12, 12, 3)).astype(np.float32)
    views = Views(
        np.array([0, 1, 4, 2]),
        np.array([4, 0, 3, 2]),
        np.array([True, False, True, False]),
        random.normal(0, 9, (4, 3)).astype("f"),
    )
    crops = np.stack([s[y : y + 8, x : x + 8] for s, y, x in zip(squares, views.top, views.left, strict=True)])
    ours = apply(torch.from_numpy(crops), views, Normalization(torch.from_numpy(mean), torch.ones(3)))
    centred = squares.astype(np.float64) - mean
    for image in range(4):
        y, x = views.top[image], views.left[image]
        expected = centred[image, y : y + 8, x : x + 8]
        if views.flip[image]:
            expected = expected[:, ::-1]
        expected = (expected + views.noise[image]).transpose(2, 0, 1)
        np.testing.assert_allclose(ours[image].numpy(), expected, atol=1e-4)
    assert ours.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("padding", [0, 2])
def test_all_images_together_give_the_bits_of_one_after_the_other(padding: int) -> None:
    random = np.random.default_rng(0)
    views = random_views(0, 1, 30, 4 + 2 * padding, flip=True, noise=np.eye(3) * 5)
    normalization = Normalization(torch.rand(12, 12, 3) * 255, torch.tensor([3.0, 7.0, 0.3]), padding)
    squares, places = np.zeros((20, *(2 * [12 + 2 * padding]), 3), np.uint8), random.integers(0, 20, 30)
    squares[:, padding : padding + 12, padding : padding + 12] = random.integers(0, 256, (20, 12, 12, 3))
    crops = [squares[place, y : y + 8, x : x + 8] for place, y, x in zip(places, views.top, views.left, strict=True)]
    alone = apply(map(torch.from_numpy, crops), views, normalization, torch.empty(30, 8, 8, 3))
    together = apply_together(torch.from_numpy(squares), torch.from_numpy(places), views, normalization, 8)
    assert views.flip.any() and not views.flip.all()
    assert torch.equal(alone, together)
    assert together.is_contiguous(memory_format=torch.channels_last)


def test_crops_of_padded_images_see_the_means_colour_around_them(tiny: Path) -> None:
    """As if each centred image had zeros around it: 32 pixels and 4 on each side, crops of 28."""
    shards, random = Shards(tiny / "data/shards", "train"), np.random.default_rng(0)
    mean, scale = random.normal(110, 40, (3, 32, 32)).astype(np.float32), [50.0, 60.0, 70.0]
    normalization = Normalization.of(torch.from_numpy(mean), scale, 4, CPU)
    views = random_views(0, 1, len(shards), 12, flip=True, noise=np.zeros((3, 3)))
    views.top[:4], views.left[:4] = (0, 0, 12, 12), (0, 12, 0, 12)
    loader = BatchLoader(shards, Transform(normalization, 28), len(shards), CPU, threads=1)
    batch = next(loader.epoch(np.arange(len(shards)), views))
    assert batch.images is not None
    for image in range(len(shards)):
        square = simplejpeg.decode_jpeg(shards.jpeg(image), fastdct=False, fastupsample=False).astype(np.float64)
        padded = np.zeros((40, 40, 3))
        padded[4:36, 4:36] = (square - mean.transpose(1, 2, 0)) / scale
        y, x = views.top[image], views.left[image]
        expected = padded[y : y + 28, x : x + 28]
        expected = expected[:, ::-1] if views.flip[image] else expected
        np.testing.assert_allclose(batch.images[image].permute(1, 2, 0).numpy(), expected, atol=1e-5)


@pytest.fixture
def squares(images: Path, listed: Callable[[], Manifest]) -> tuple[NDArray[np.uint8], Eigenbasis, NDArray[np.float32]]:
    """All training images, uint8 (N, 32, 32, 3), their eigenbasis and their mean image."""
    spec, rows = SquareSpec(images, "encoded", 32), listed().of_split("train")
    total = collect(rows, spec, workers=1, max_rejects=0)
    found = np.stack([square for square in spec.squares(rows) if not isinstance(square, Reject)])
    return found, eigenbasis(total), mean_image(total)


@pytest.mark.parametrize("mean", ["image", "channel"])
@pytest.mark.parametrize("scale", [255, "unit"])
def test_inputs_are_the_pixels_less_the_mean_over_the_deviation_of_their_channel(squares: Any, mean: str, scale: Any) -> None:
    """With the channels' means, unit gives variance 1 over all pixels; the mean image takes its own variance along."""
    pixels, basis, image = squares
    divisor = scale_of(np.array(basis.covariance), scale)
    normalization = Normalization.of(torch.from_numpy(mean_of(image, mean)), divisor, 0, CPU)
    ours = apply(torch.from_numpy(pixels), center_views(len(pixels), 0), normalization).permute(0, 2, 3, 1).double().numpy()
    exact = pixels.astype(np.float64)
    centred = exact - (exact.mean(0) if mean == "image" else exact.mean((0, 1, 2)))
    expected = centred / exact.std((0, 1, 2)) if scale == "unit" else centred
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    np.testing.assert_allclose(ours.mean((0, 1, 2)), 0, atol=1e-4)
    if scale == "unit":
        missing = exact.mean(0).var((0, 1)) / exact.var((0, 1, 2)) if mean == "image" else np.zeros(3)
        np.testing.assert_allclose(ours.var((0, 1, 2)), 1 - missing, rtol=1e-5)


def test_an_images_view_does_not_depend_on_the_images_behind_it() -> None:
    few, many = (random_views(0, 1, images, 29, True, color_axes(VALUES, VECTORS, 0.1, "stdev")) for images in (10, 100))
    for name in ("top", "left", "flip", "noise"):
        assert (getattr(few, name) == getattr(many, name)[:10]).all()


@pytest.mark.parametrize(("margin", "middle"), [(29, 14), (32, 16), (0, 0)])
def test_the_central_crop_is_central(margin: int, middle: int) -> None:
    views = center_views(3, margin)
    assert set(views.top) == set(views.left) == {middle}
    assert not views.flip.any()
    assert not views.noise.any()
