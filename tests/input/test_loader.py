"""Batches: every image once, filled up at the end, the same whatever threads make them."""

import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from helpers.staged import ROOT
from PIL import Image

from alexnet.input.augment import Normalization, center_views, random_views
from alexnet.input.loader import IGNORE, Batch, BatchLoader, Transform
from alexnet.input.shards import Shards


def plain(mean: float, padding: int = 0) -> Normalization:
    """The mean subtracted, nothing else."""
    return Normalization(torch.full((256, 256, 3), mean), torch.ones(3), padding)


@pytest.fixture(scope="module")
def shards(small: Path) -> Shards:
    return Shards(small / "data/shards", "train")


def loader(shards: Shards, batch_size: int, threads: int, side: int = 227, mean: float = 100) -> BatchLoader:
    return BatchLoader(shards, Transform(plain(mean), side), batch_size, torch.device("cpu"), threads)


def load(shards: Shards, threads: int, images: bool = True, first_row: int = 0) -> list[Batch]:
    views = random_views(0, 1, len(shards), 29, flip=True, noise=np.eye(3) * 5)
    made = loader(shards, 8, threads) if images else BatchLoader(shards, None, 8, torch.device("cpu"), threads)
    return list(made.epoch(np.arange(len(shards))[::-1], views, first_row))


def test_no_number_depends_on_the_threads(shards: Shards) -> None:
    alone = load(shards, threads=1)
    for threads in (2, 3, 20):
        for one, other in zip(alone, load(shards, threads), strict=True):
            assert one.images is not None
            assert other.images is not None
            assert torch.equal(one.images, other.images)
            assert torch.equal(one.labels, other.labels)


def test_every_image_comes_once_and_the_last_batch_is_filled_up(shards: Shards) -> None:
    found = load(shards, threads=2)
    assert len(shards) == 20
    assert [batch.count for batch in found] == [8, 8, 4]
    assert torch.cat([batch.labels[: batch.count] for batch in found]).tolist() == shards.labels[::-1].tolist()
    last = found[-1]
    assert last.images is not None
    assert last.images.shape == (8, 3, 227, 227)
    assert (last.labels[4:] == IGNORE).all()
    assert not last.images[4:].any()


@pytest.mark.parametrize("part", range(4))
def test_a_share_of_each_batch_has_those_images_and_decodes_no_others(
    shards: Shards, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    """Of the last batch, which has four images, two of the shares have none."""
    decoded, decode = list[int](), shards.decode

    def noted(image: int, square: np.ndarray) -> None:
        decoded.append(image)
        decode(image, square)

    monkeypatch.setattr(shards, "decode", noted)
    order, views = np.arange(20), center_views(20, 29)
    share = slice(2 * part, 2 * part + 2)
    transform = Transform(plain(100), 227)
    own = BatchLoader(shards, transform, 8, torch.device("cpu"), 1, share)
    found = list(own.epoch(order, views))
    assert sorted(decoded) == [image for first in (0, 8, 16) for image in order[first : first + 8][share]]
    for batch, whole in zip(found, BatchLoader(shards, transform, 8, torch.device("cpu"), 1).epoch(order, views), strict=True):
        assert batch.images is not None and whole.images is not None
        assert torch.equal(batch.images, whole.images[share])
        assert torch.equal(batch.labels, whole.labels) and torch.equal(batch.rows, whole.rows)
        assert batch.count == whole.count


def test_each_row_has_the_number_that_follows_the_one_before_padding_counted(shards: Shards) -> None:
    for images in (True, False):
        found = load(shards, threads=2, images=images, first_row=48)
        assert torch.cat([batch.rows for batch in found]).tolist() == list(range(48, 48 + 24))


def test_a_batch_that_cannot_be_decoded_is_reported_to_whoever_waits_for_it(
    shards: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(image: int) -> memoryview:
        raise OSError("the disk is gone")

    monkeypatch.setattr(shards, "jpeg", broken)
    with pytest.raises(OSError, match="the disk is gone"):
        load(shards, threads=2)


ALONE = """
import os, sys, torch
import numpy as np
from pathlib import Path
from input.test_loader import loader
from alexnet.input.augment import center_views
from alexnet.input.shards import Shards

def running():
    return len(os.listdir("/proc/self/task"))

torch.set_num_threads(3)
torch.ones(1_000_000).add(1)  # this thread's own
before, shards = running(), Shards(Path(sys.argv[1]), "train")
reader = loader(shards, 8, threads=2).epoch(np.arange(len(shards)), center_views(len(shards), 29))
batch = next(batch for batch in reader if batch.count < 8)
print(running() - before, torch.get_num_threads())
"""


def test_its_threads_start_no_threads_of_their_own(small: Path) -> None:
    """In a process of their own, as others may have threads that come and go."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    command = [sys.executable, "-c", ALONE, str(small / "data/shards")]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert said == "3 3\n"  # two that decode, and the one that finishes batches


def test_a_process_that_needs_labels_alone_decodes_nothing(shards: Shards) -> None:
    with_images, without = load(shards, threads=2), load(shards, threads=2, images=False)
    assert all(batch.images is None for batch in without)
    assert all(torch.equal(a.labels, b.labels) for a, b in zip(with_images, without, strict=True))


def test_an_image_is_its_jpeg_as_pillow_decodes_it(shards: Shards) -> None:
    import io

    views = center_views(len(shards), 0)
    batch = next(loader(shards, 1, threads=1, side=256, mean=0).epoch(np.array([7]), views))
    pillow = np.asarray(Image.open(io.BytesIO(bytes(shards.jpeg(7)))).convert("RGB"))
    assert batch.images is not None
    difference = np.abs(batch.images[0].permute(1, 2, 0).numpy() - pillow)
    assert difference.max() <= 3  # decoders may round differently
    assert batch.labels.tolist() == [shards.labels[7]]


def test_a_reader_that_stops_early_leaves_no_thread(shards: Shards) -> None:
    import threading

    def running() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.startswith(("decode", "batch"))]

    feed = cast(Generator[Batch, None, None], loader(shards, 4, threads=2).epoch(np.arange(20), center_views(20, 29)))
    next(feed)
    assert len(running()) == 3
    feed.close()
    assert running() == []
