"""A layer's activations are those that torch hands a hook, and the nearest images those of scikit-learn."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.cards import card_of
from helpers.nets import net_of
from PIL import Image
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from alexnet.evaluate.evaluation import Runner
from alexnet.evaluate.features import features, last_hidden, up_to
from alexnet.evaluate.neighbors import write_nearest
from alexnet.input.shards import Shards
from alexnet.models.network import Network

MEAN = torch.full((3, 32, 32), 100.0)


def hooked(net: Network, layer: str, images: Tensor) -> Tensor:
    """The outputs of a module in a pass through the whole net."""
    found: list[Tensor] = []
    hook = net.get_submodule(layer).register_forward_hook(lambda module, inputs, outputs: found.append(outputs.flatten(1)))
    with torch.no_grad():
        net(images.contiguous())
    hook.remove()
    return found[0]


@pytest.mark.parametrize(
    ("layer", "module"), [("fc7", "relu7"), ("conv1", "relu1"), ("pool5", "pool5"), ("fc8", "fc8"), ("drop7", "drop7")]
)
def test_a_layer_is_meant_with_its_activation_function(layer: str, module: str) -> None:
    net = net_of("alexnet-32", crop_size=28).eval()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = features(up_to(net, layer), images, card_of(crop_size=28, crop_padding=0))
    torch.testing.assert_close(found, hooked(net, module, images[..., 2:30, 2:30]))


def test_the_last_hidden_layer_is_the_one_before_the_classes() -> None:
    assert last_hidden(net_of("alexnet-32")) == "fc7"
    assert last_hidden(net_of("cifar-four-layer")) == "conv3"


def test_the_nearest_training_images_are_those_of_scikit_learn(tiny: Path, tmp_path: Path) -> None:
    net = net_of("alexnet-32", crop_size=28).eval()
    train, test = (Shards(tiny / "data/shards", split) for split in ("train", "test"))
    card = card_of(names=[f"digit {label}" for label in range(10)], size=32, crop_size=28, crop_padding=0, sha256="5" * 64)
    for folder in ("once", "again"):
        write_nearest(tmp_path / folder, net, train, test, Runner(MEAN, card, torch.device("cpu"), cores=1))
    once = {file.name: file.read_bytes() for file in (tmp_path / "once").iterdir()}
    assert once == {file.name: file.read_bytes() for file in (tmp_path / "again").iterdir()}

    table = np.load(tmp_path / "once/features.npy")
    assert table["row"].tolist() == train.rows.tolist() and table["label"].tolist() == train.labels.tolist()
    expected = hooked(net, "relu7", centred(train, range(20)))
    np.testing.assert_allclose(table["vector"], expected.numpy(), atol=0.02 * expected.max().item())

    answer = json.loads(once["nearest.json"])
    samples = answer.pop("samples")
    assert answer == {"model": "5" * 64, "layer": "fc7", "images": 20, "of": 20}
    vectors = hooked(net, "relu7", centred(test, np.linspace(0, 19, 8).round().astype(int).tolist())).numpy()
    search = NearestNeighbors(n_neighbors=6, algorithm="brute").fit(table["vector"].astype(float))
    for sample, distances, numbers in zip(samples, *search.kneighbors(vectors), strict=True):
        assert [near["distance"] for near in sample["nearest"]] == pytest.approx(distances, rel=0.05)
        for near, number, distance in zip(sample["nearest"], numbers, distances, strict=True):
            position = train.rows.tolist().index(near["row"])
            assert once[near["file"]] == bytes(train.jpeg(position))
            assert near["actual"] == f"digit {train.labels[position]}"
            # Two decoders of JPEG may differ by a grey level, and swap images that are equally far.
            assert position == number or near["distance"] == pytest.approx(distance, rel=0.02)
    assert [sample["file"] for sample in samples] == [f"sample-{number}.jpg" for number in range(8)]


def centred(shards: Shards, images: Sequence[int]) -> Tensor:
    """The centre crops of images, decoded by Pillow."""
    pixels = [np.asarray(Image.open(io.BytesIO(shards.jpeg(image))), np.float32) for image in images]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)[..., 2:30, 2:30] - 100
