"""A fixture: a model that guesses otherwise from image to image, and a folder of class folders."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from helpers.cards import card_of
from helpers.nets import meta_net
from PIL import Image

from alexnet.models.initialization import initialize
from alexnet.models.saved import save_weights

CLASSES = ["cat", "dog", "käse", *"3456789"]


@dataclass(frozen=True)
class Asked:
    """PNGs of 32x32 pixels, which every decoder reads alike, in folders of three of the model's ten classes."""

    model: Path
    folder: Path
    images: list[Path]
    """Sorted, all that can be read."""
    labels: list[int]


@pytest.fixture(scope="session")
def asked(tmp_path_factory: pytest.TempPathFactory, patch: Callable[..., Image.Image]) -> Asked:
    root = tmp_path_factory.mktemp("asked")
    save_model(root / "model.safetensors", seed=0)
    images, labels = [], []
    for label, name in enumerate(CLASSES[:3]):
        folder = root / "test" / name
        folder.mkdir(parents=True)
        for number in range(25):
            images.append(folder / f"{number:02}.png")
            labels.append(label)
            patch(100 * label + number, 32, 32).save(images[-1])
    (root / "test/dog/broken.png").write_bytes(images[0].read_bytes()[:200])
    (root / "test/dog/notes.txt").touch()
    return Asked(root / "model.safetensors", root / "test", images, labels)


def save_model(path: Path, seed: int, names: list[str] = CLASSES) -> None:
    """Write a model with its card: random weights."""
    net = meta_net("alexnet-32", classes=len(names), crop_size=28)
    initialize(net, "kaiming", seed)
    weights = {name: value.detach() for name, value in net.named_parameters()}
    sha256 = save_weights(path, weights, torch.full((3, 32, 32), 100.0))
    card = card_of(names=names, size=32, crop_size=28, crop_padding=0, scale=[60.0, 60.0, 60.0], sha256=sha256)
    card.write(path.with_suffix(".json"))
