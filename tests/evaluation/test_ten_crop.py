"""The geometry of the ten crops."""

import torch

from alexnet.evaluation.ten_crop import views


def test_the_views_are_the_centre_the_corners_and_their_mirror_images() -> None:
    images = torch.arange(2 * 3 * 8 * 8, dtype=torch.float32).view(2, 3, 8, 8)
    corners = [images[..., :5, :5], images[..., :5, -5:], images[..., -5:, :5], images[..., -5:, -5:]]
    expected = [images[..., 1:6, 1:6], *corners]
    mirrored = [images.flip(-1)[..., 1:6, 1:6], *(corner.flip(-1) for corner in corners)]
    ten = list(views(images, 5, flip=True))
    assert len(ten) == 10
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(ten, expected, strict=False))
    assert {tuple(view.flatten().tolist()) for view in ten[5:]} == {tuple(view.flatten().tolist()) for view in mirrored}


def test_without_flips_there_are_five() -> None:
    images = torch.rand(1, 3, 8, 8)
    assert len(list(views(images, 5, flip=False))) == 5
