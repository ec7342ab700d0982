"""The test counts every image once, and agrees with plain PyTorch and scikit-learn."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.cards import card_of
from helpers.nets import net_of
from helpers.pictures import decoded
from sklearn.metrics import top_k_accuracy_score

from alexnet.evaluate import evaluation, results
from alexnet.evaluate.evaluation import Evaluation, Runner, evaluate
from alexnet.evaluate.predictions import probabilities
from alexnet.files.card import Card
from alexnet.input.loader import Batch, BatchLoader
from alexnet.input.shards import Shards
from alexnet.models.network import Network

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def net() -> Network:
    """A net whose guesses differ from image to image: torch's own initial weights, small inputs' scale."""
    return net_of("alexnet-32", crop_size=28).eval()


@pytest.fixture(scope="module")
def card() -> Card:
    return card_of(names=[f"digit\r{i}" for i in range(10)], size=32, crop_size=28, crop_padding=0)


@pytest.fixture(scope="module")
def shards(tiny: Path) -> Shards:
    return Shards(tiny / "data/shards", "test")


@pytest.fixture(scope="module")
def found(net: Network, card: Card, shards: Shards) -> Evaluation:
    return evaluate(net, shards, Runner(torch.full((3, 32, 32), 100.0), card, CPU, cores=1))


def plain(net: Network, shards: Shards) -> tuple[np.ndarray, np.ndarray]:
    """Image by image: softmax of the centre, and the mean of ten softmaxes."""
    center, ten = [], []
    for image in range(len(shards)):
        square = torch.from_numpy(decoded(bytes(shards.jpeg(image))).astype(np.float32)).permute(2, 0, 1)[None] - 100
        views = [
            side[..., top : top + 28, left : left + 28]
            for side in (square, square.flip(-1))
            for top, left in ((2, 2), (0, 0), (0, 4), (4, 0), (4, 4))
        ]
        with torch.no_grad():
            outputs = torch.cat([net(view.contiguous()).softmax(1) for view in views])
        center.append(outputs[0].numpy())
        ten.append(outputs.mean(0).numpy())
    return np.stack(center), np.stack(ten)


def test_errors_are_those_of_plain_torch_and_scikit_learn(net: Network, shards: Shards, found: Evaluation) -> None:
    metrics = results.metrics(found, 10)
    assert metrics["images"] == len(shards) == 20
    for name, likely in zip(("center", "ten_crop"), plain(net, shards), strict=True):
        for key, k in (("top1_error", 1), ("top5_error", 5)):
            expected = 1 - top_k_accuracy_score(shards.labels, likely, k=k, labels=range(10))
            assert metrics[name][key] == pytest.approx(expected), (name, key)
        loss = -np.log(likely[np.arange(20), shards.labels]).mean()
        assert metrics[name]["loss"] == pytest.approx(loss, rel=1e-5)


def test_no_number_depends_on_what_fills_the_last_batch(
    net: Network, card: Card, shards: Shards, found: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled = []

    class Garbage(BatchLoader):
        def epoch(self, *arguments: Any) -> Iterator[Batch]:
            for batch in super().epoch(*arguments):
                assert batch.images is not None
                batch.images[batch.count :] = 1e3 * torch.randn(len(batch.images) - batch.count, 3, 32, 32)
                filled.append(len(batch.images) - batch.count)
                yield batch

    monkeypatch.setattr(evaluation, "BatchLoader", Garbage)
    other = evaluate(net, shards, Runner(torch.full((3, 32, 32), 100.0), card, CPU, cores=1))
    assert filled == [evaluation.BATCH - len(shards)]
    pd.testing.assert_frame_equal(other.ten_crop, found.ten_crop, check_exact=True)
    pd.testing.assert_frame_equal(other.center, found.center, check_exact=True)


def test_batches_in_parallel_give_the_numbers_of_one_after_the_other(
    net: Network, card: Card, shards: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "BATCH", 4)
    alone = evaluate(net, shards, Runner(torch.full((3, 32, 32), 100.0), card, CPU, cores=1))
    first_two, both = iter(range(2)), threading.Barrier(2)

    def met(*arguments: Any) -> Any:
        if next(first_two, None) is not None:
            both.wait(timeout=120)  # the first two batches are under way at once, or this breaks
        return probabilities(*arguments)

    monkeypatch.setattr(evaluation, "probabilities", met)
    together = evaluate(net, shards, Runner(torch.full((3, 32, 32), 100.0), card, CPU, cores=3))
    pd.testing.assert_frame_equal(together.ten_crop, alone.ten_crop, check_exact=True)
    pd.testing.assert_frame_equal(together.center, alone.center, check_exact=True)
    assert np.array_equal(together.top_probability, alone.top_probability)


def test_the_files_tell_what_the_metrics_tell(
    net: Network, card: Card, shards: Shards, found: Evaluation, tmp_path: Path
) -> None:
    results.write(tmp_path, found, net, shards, card)
    predictions = pd.read_csv(tmp_path / "predictions.csv")
    confusion = pd.read_csv(tmp_path / "confusion.csv", index_col="actual")
    per_class = pd.read_csv(tmp_path / "per_class.csv")
    metrics = results.metrics(found, 10)
    assert predictions["row"].tolist() == shards.rows.tolist()
    assert (predictions["actual"] != predictions["predicted"]).mean() == pytest.approx(metrics["ten_crop"]["top1_error"])
    assert (predictions["rank_of_actual"] > 5).mean() == pytest.approx(metrics["ten_crop"]["top5_error"])
    assert confusion.to_numpy().sum() == 20
    assert 1 - np.trace(confusion.to_numpy()) / 20 == pytest.approx(metrics["ten_crop"]["top1_error"])
    assert list(confusion.columns) == list(confusion.index) == per_class["class"].tolist() == card.classes
    assert np.average(per_class["top1_error"], weights=per_class["images"]) == pytest.approx(metrics["ten_crop"]["top1_error"])
    assert np.load(tmp_path / "kernels.npy").shape == (48, 3, 5, 5)
    samples: list[Any] = json.loads((tmp_path / "samples.json").read_text())
    assert len(samples) == 8
    for sample in samples:
        assert (tmp_path / sample["file"]).is_file()
        likely = [guess["probability"] for guess in sample["top"]]
        assert likely == sorted(likely, reverse=True)
        assert len(likely) == 5
    wrong = predictions[predictions["rank_of_actual"] > 1].sort_values(["probability", "row"], ascending=[False, True])[:8]
    mistakes = json.loads((tmp_path / "mistakes.json").read_text())
    for mistake, (_, expected) in zip(mistakes, wrong.iterrows(), strict=True):
        assert [mistake[key] for key in ("row", "actual", "rank_of_actual")] == list(
            expected[["row", "actual", "rank_of_actual"]]
        )
        assert mistake["top"][0] == {"class": expected["predicted"], "probability": pytest.approx(expected["probability"])}
        image = shards.rows.tolist().index(mistake["row"])
        assert (tmp_path / mistake["file"]).read_bytes() == bytes(shards.jpeg(image))
