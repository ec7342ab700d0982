"""The geometry of the ten crops, and the mean over them."""

import numpy as np
import pytest
import torch
from torch import nn

from alexnet.evaluate.crops import views
from alexnet.evaluate.predictions import probabilities
from alexnet.files.card import Card
from alexnet.models.network import Network


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


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("padding", [0, 2])
def test_softmax_outputs_are_averaged_over_the_crops_of_the_padded_image(flip: bool, padding: int) -> None:
    """On a net whose logits are its inputs, so that each view shows in the probabilities."""
    images = np.random.default_rng(0).normal(0, 1, (2, 3, 6, 6))
    card = Card.model_construct(crop_size=4, crop_padding=padding, flip=flip, settings={"precision": "float32"})
    ours = probabilities(Network([("flatten", nn.Flatten())]).eval(), torch.from_numpy(images).float(), card)
    size = 6 + 2 * padding
    padded = np.zeros((2, 3, size, size))
    padded[:, :, padding : padding + 6, padding : padding + 6] = images
    middle, end = (size - 4) // 2, size - 4
    places = [(middle, middle), (0, 0), (0, end), (end, 0), (end, end)]
    crops = [whole[:, :, y : y + 4, x : x + 4] for whole in (padded, padded[..., ::-1])[: 1 + flip] for y, x in places]
    powers = [np.exp(crop.reshape(2, -1)) for crop in crops]
    softmaxes = [power / power.sum(1, keepdims=True) for power in powers]
    assert len(softmaxes) == (10 if flip else 5)
    np.testing.assert_allclose(ours.center.numpy(), softmaxes[0], rtol=1e-5)
    np.testing.assert_allclose(ours.ten_crop.numpy(), np.mean(softmaxes, axis=0), rtol=1e-5)
