"""An epoch sees each image once, whatever the numbers, and also if it was resumed anywhere."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.nets import net_of, settings_of
from helpers.small_shards import noise, write_split
from helpers.training import one_process
from hypothesis import given
from hypothesis import strategies as st

from alexnet.config.training import Training
from alexnet.input.augment import Normalization, order, random_views
from alexnet.input.shards import Shards
from alexnet.train.session import build_engine
from alexnet.train.trainer import Trainer, TrainingImages

SEEDS, EPOCHS = st.integers(0, 2**62 - 1), st.integers(1, 10**9)


@given(SEEDS, EPOCHS, st.integers(0, 3000))
def test_an_epochs_order_is_a_permutation(seed: int, epoch: int, images: int) -> None:
    found = order(seed, epoch, images)
    assert np.array_equal(np.sort(found), np.arange(images))
    assert np.array_equal(found, order(seed, epoch, images))


@given(SEEDS, EPOCHS, st.integers(1, 300), st.integers(1, 300), st.integers(0, 29))
def test_an_image_is_seen_in_the_same_way_however_many_follow(seed: int, epoch: int, few: int, more: int, margin: int) -> None:
    short, long = (random_views(seed, epoch, images, margin, True, 5 * np.eye(3)) for images in (few, few + more))
    for name in ("top", "left", "flip", "noise"):
        assert np.array_equal(getattr(short, name), getattr(long, name)[:few])
    for place in (long.top, long.left):
        assert 0 <= place.min() <= place.max() <= margin


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Shards of a few numbers of images, each a class of its own."""
    root = tmp_path_factory.mktemp("images")
    for images in (1, 2, 7, 23):
        write_split(root / str(images), [(jpeg, at, at) for at, jpeg in enumerate(noise(images))], classes=images)
    return {int(path.name): path for path in root.iterdir()}


@given(st.sampled_from([1, 2, 7, 23]), st.integers(1, 30), st.integers(0, 2**40), st.integers(1, 50), st.data())
def test_each_image_is_seen_once_wherever_an_epoch_is_resumed(
    folders: dict[int, Path], images: int, batch_size: int, seed: int, epoch: int, data: st.DataObject
) -> None:
    settings = Training.read(settings_of("cifar-four-layer", batch_size=batch_size, seed=seed) | {"crop_size": 32})
    shards = Shards(folders[images], "train")
    plain = Normalization(torch.zeros(32, 32, 3), torch.ones(3), settings.crop_padding)
    engine = build_engine(net_of("cifar-four-layer", classes=2), settings, one_process())
    trainer = Trainer(engine, TrainingImages(shards, shards, plain, np.zeros((3, 3)), False), settings, one_process(), threads=1)
    stops = sorted(data.draw(st.lists(st.integers(0, trainer.steps_per_epoch), max_size=4)))
    seen: list[int] = []
    rows: list[int] = []
    for done, until in zip([0, *stops], [*stops, trainer.steps_per_epoch], strict=True):
        for _, batch in zip(range(done, until), trainer._training_batches(epoch, done), strict=False):
            seen += batch.labels[: batch.count].tolist()
            rows += batch.rows.tolist()
    assert sorted(seen) == list(range(images))
    assert seen == order(seed, epoch, images).tolist()
    first = (epoch - 1) * trainer.steps_per_epoch * batch_size
    assert rows == list(range(first, first + trainer.steps_per_epoch * batch_size))
