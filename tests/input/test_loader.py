"""Batches: every image once, filled up at the end, the same whatever threads make them."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet.input.augment import Normalization, center_views, random_views
from alexnet.input.loader import Batch, batches
from alexnet.input.shards import Shards


def plain(mean: float, padding: int = 0) -> Normalization:
    """The mean subtracted, nothing else."""
    return Normalization(torch.full((256, 256, 3), mean), torch.ones(3), padding)


@pytest.fixture(scope="module")
def shards(small: Path) -> Shards:
    return Shards(small / "data/shards", "train")


def load(shards: Shards, workers: int, epoch: int = 1, order: np.ndarray | None = None, images: bool = True) -> list[Batch]:
    views = random_views(0, epoch, len(shards), 29, flip=True, noise=np.eye(3) * 5)
    chosen = np.arange(len(shards))[::-1] if order is None else order
    return list(batches(shards, chosen, views if images else None, 227, 8, plain(100), torch.device("cpu"), workers))


def test_no_number_depends_on_the_threads(shards: Shards) -> None:
    alone = load(shards, workers=0)
    for workers in (1, 3):
        for one, other in zip(alone, load(shards, workers), strict=True):
            assert one.images is not None
            assert other.images is not None
            assert torch.equal(one.images, other.images)
            assert torch.equal(one.labels, other.labels)


def test_every_image_comes_once_and_the_last_batch_is_filled_up(shards: Shards) -> None:
    found = load(shards, workers=2)
    assert len(shards) == 20
    assert [batch.count for batch in found] == [8, 8, 4]
    assert torch.cat([batch.labels[: batch.count] for batch in found]).tolist() == shards.labels[::-1].tolist()
    last = found[-1]
    assert last.images is not None
    assert last.images.shape == (8, 3, 227, 227)
    assert (last.labels[4:] == -100).all()
    assert not last.images[4:].any()


def test_decoding_threads_start_no_threads_of_their_own(shards: Shards) -> None:
    def running() -> int:
        return len(os.listdir("/proc/self/task"))

    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    torch.ones(1_000_000).add(1)  # this thread's own
    before = running()
    views, order = center_views(len(shards), 29), np.arange(len(shards))
    reader = batches(shards, order, views, 227, 8, plain(100), torch.device("cpu"), workers=2)
    next(reader)
    assert running() - before == 3  # two that decode, and the one that finishes batches
    assert torch.get_num_threads() == 3
    reader.close()
    torch.set_num_threads(threads)


def test_a_process_that_needs_labels_alone_decodes_nothing(shards: Shards) -> None:
    with_images, without = load(shards, workers=2), load(shards, workers=2, images=False)
    assert all(batch.images is None for batch in without)
    assert all(torch.equal(a.labels, b.labels) for a, b in zip(with_images, without, strict=True))


def test_an_image_is_its_jpeg_as_pillow_decodes_it(shards: Shards) -> None:
    import io

    views = center_views(len(shards), 0)
    batch = next(batches(shards, np.array([7]), views, 256, 1, plain(0), torch.device("cpu"), 1))
    pillow = np.asarray(Image.open(io.BytesIO(bytes(shards.jpeg(7)))).convert("RGB"))
    assert batch.images is not None
    difference = np.abs(batch.images[0].permute(1, 2, 0).numpy() - pillow)
    assert difference.max() <= 3  # decoders may round differently
    assert batch.labels.tolist() == [shards.labels[7]]


def test_a_reader_that_stops_early_leaves_no_thread(shards: Shards) -> None:
    import threading

    before = threading.active_count()
    feed = batches(shards, np.arange(20), center_views(20, 29), 227, 4, plain(0), torch.device("cpu"), workers=2)
    next(feed)
    feed.close()
    assert threading.active_count() == before
