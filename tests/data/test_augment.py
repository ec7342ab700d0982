"""Orders, crops, flips and colour noise: functions of (seed, epoch, image), with the paper's statistics."""

import numpy as np
import torch

from alexnet.data.augment import Normalization, Views, apply, center_views, color_axes, order, random_views

VALUES = np.array([9000.0, 400.0, 100.0])
VECTORS = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]


def test_an_epoch_is_a_permutation_and_another_epoch_is_another() -> None:
    first, second = order(0, 1, 1000), order(0, 2, 1000)
    assert sorted(first) == sorted(second) == list(range(1000))
    assert (first != second).any()
    assert (first != order(1, 1, 1000)).any()
    assert (first == order(0, 1, 1000)).all()


def test_crops_reach_every_place_and_half_are_mirrored() -> None:
    views = random_views(0, 1, 20_000, margin=29, flip=True, noise=np.zeros((3, 3)))
    for offsets in (views.top, views.left):
        assert (np.bincount(offsets, minlength=30) > 500).all()
        assert offsets.max() == 29
    assert abs(views.flip.mean() - 0.5) < 0.02
    assert abs(np.corrcoef(views.top, views.left)[0, 1]) < 0.03
    assert not random_views(0, 1, 100, 29, flip=False, noise=np.zeros((3, 3))).flip.any()


def test_colour_noise_has_the_pixels_covariance_times_sigma_squared() -> None:
    noise = random_views(3, 1, 200_000, 29, True, color_axes(VALUES, VECTORS, 0.1, "stdev")).noise
    expected = 0.01 * VECTORS @ np.diag(VALUES) @ VECTORS.T
    np.testing.assert_allclose(np.cov(noise.T), expected, atol=0.01 * expected.max())
    np.testing.assert_allclose(noise.mean(0), 0, atol=0.1)


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


def test_an_images_view_does_not_depend_on_the_images_behind_it() -> None:
    few, many = (random_views(0, 1, images, 29, True, color_axes(VALUES, VECTORS, 0.1, "stdev")) for images in (10, 100))
    for name in ("top", "left", "flip", "noise"):
        assert (getattr(few, name) == getattr(many, name)[:10]).all()


def test_the_central_crop_is_central() -> None:
    views = center_views(3, 29)
    assert set(views.top) == set(views.left) == {14}
    assert not views.flip.any()
    assert not views.noise.any()
