"""Replicas beside each other give bitwise what one process gives that runs them one after the other."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import stopped
from helpers.nets import net_of
from helpers.pipelines import recipe
from helpers.replicas import assert_whole, resumed, trained_in_replicas
from helpers.training import alone, hashes, one_process, session_of
from helpers.waiting import until

from alexnet.config.training import Training
from alexnet.input.loader import IGNORE, Batch
from alexnet.pipeline.distributed import Ranks, in_replicas
from alexnet.pipeline.engine import StepStats
from alexnet.pipeline.replicas import Replica
from alexnet.pipeline.single_process import SingleProcess
from benchmarks.ranks import RankProcesses

TWO = {"pipeline.replicas": 2, "pipeline.cuts": ["conv3"]}
LAYOUTS: list[dict[str, Any]] = [
    {**TWO, "pipeline.schedule": "1F1B"},
    {**TWO, "pipeline.schedule": "GPipe", "pipeline.cuts": ["fc6"]},
    {**TWO, "pipeline.schedule": "InterleavedZeroBubble"},
    {**TWO, "pipeline.schedule": "Interleaved1F1B", "pipeline.cuts": ["conv3", "fc6", "fc7"]},
    {**TWO, "precision": "bfloat16", "optimizer": "adam"},
    {**TWO, "lr_mult": {"fc8": 10}, "freeze": ["conv1", "conv2"]},
    {"pipeline.replicas": 4, "pipeline.ranks": 1},
]


@pytest.fixture(scope="module")
def four() -> Iterator[RankProcesses]:
    with RankProcesses(4, threads=1) as processes:
        yield processes


@pytest.mark.parametrize("changes", LAYOUTS)
def test_replicas_give_the_weights_of_one_process(four: RankProcesses, tiny: Path, changes: dict[str, Any]) -> None:
    """The last batch has four of eight images: with four replicas, two have none."""
    settings = recipe("alexnet-32", changes)
    found = four(trained_in_replicas, settings, tiny)
    assert_whole(found, alone(settings, tiny))
    assert found[0][0] == settings["pipeline"]["ranks"]


@pytest.mark.parametrize("changes", [TWO, {"pipeline.replicas": 4, "pipeline.ranks": 1}])
def test_a_last_batch_of_one_image_leaves_the_other_replicas_none(
    four: RankProcesses, odd: Path, changes: dict[str, Any]
) -> None:
    settings = recipe("alexnet-32", changes)
    assert_whole(four(trained_in_replicas, settings, odd), alone(settings, odd))


def whole_net(ranks: Ranks, settings: dict[str, Any], folder: Path) -> dict[str, str]:
    return hashes(session_of(in_replicas(ranks, 2, patience=10), settings, folder).engine.full_state_dict())


def test_every_rank_gets_the_whole_net_at_the_end(four: RankProcesses, tiny: Path) -> None:
    settings = recipe("alexnet-32", TWO)
    whole = hashes(session_of(one_process(), settings, tiny).engine.full_state_dict())
    assert four(whole_net, settings, tiny) == 4 * [whole]


def gradients_of(rank: int) -> list[torch.Tensor]:
    """Some that no number of replicas divides, one with its maps last in memory, one smaller than the replicas."""
    generator = torch.Generator().manual_seed(rank)
    first, second, third = (torch.randn(shape, generator=generator) for shape in ((1001,), (5, 3, 11, 7), (1,)))
    return [first, second.to(memory_format=torch.channels_last), third]


def added_up(ranks: Ranks) -> list[torch.Tensor]:
    gradients = gradients_of(ranks.rank)
    Replica(4, ranks.boundary, timedelta(minutes=1)).add_up(gradients)
    return gradients


def test_gradients_are_added_in_the_order_of_the_replicas(four: RankProcesses) -> None:
    per_replica = list(zip(*map(gradients_of, range(4)), strict=True))
    ordered = [((first + second) + third) + fourth for first, second, third, fourth in per_replica]
    other = [((fourth + third) + second) + first for first, second, third, fourth in per_replica]
    for sums in four(added_up):
        assert all(map(torch.equal, sums, ordered))
        assert not torch.equal(sums[0], other[0])  # the order shows in the last bits


def said(ranks: Ranks, flag: Path) -> tuple[StepStats, int]:
    """What every rank hears; the first rank of each pipeline listens only when the last ranks have all said their words."""
    ranks = in_replicas(ranks, 2, patience=10)
    if ranks.place == 0:
        until(lambda: len(list(flag.iterdir())) == 2)
    heard = ranks.from_last(StepStats(10.0**ranks.rank, ranks.rank, 0.5), wish=ranks.rank)
    if ranks.place == 1:
        (flag / str(ranks.rank)).touch()
    ranks.wait_for_sends()
    return heard


def test_all_ranks_hear_the_sums_of_the_last_ranks_and_the_word_of_the_very_last(four: RankProcesses, tmp_path: Path) -> None:
    assert four(said, tmp_path) == 4 * [(StepStats(1010.0, 4.0, 1.0), 3)]


def test_a_training_goes_on_with_its_replicas_in_other_processes(four: RankProcesses, tiny: Path, tmp_path: Path) -> None:
    replicas = {"pipeline.replicas": 2, "pipeline.cuts": ["conv3"]}
    one, two = stopped.recipe(**replicas), stopped.recipe(**replicas, **{"pipeline.ranks": 2})
    epochs, weights, _ = stopped.alone(one, tiny, tmp_path / "whole")
    root = tmp_path / "parts"
    stopped.alone(one, tiny, root, 3)
    assert [done for *_, done in four(resumed, two, tiny, root, 6)] == 4 * [[3, 4, 5, 6]]
    assert {path.name for path in root.glob("*/*/*")} == {"rank-0.safetensors", "rank-1.safetensors", "state.json"}
    assert stopped.alone(one, tiny, root) == (epochs, weights, [6, 7, 8, 9])


def test_replicas_give_the_gradients_of_the_whole_batch() -> None:
    """Shares, the last of which has padding alone, come to plain autograd over the real rows."""
    net, plain = net_of("alexnet-32").double(), net_of("alexnet-32").double()
    generator = torch.Generator().manual_seed(0)
    images, rows = torch.randn(8, 3, 28, 28, dtype=torch.float64, generator=generator), torch.arange(8)
    labels = torch.tensor([1, 2, 3, 4, 5, IGNORE, IGNORE, IGNORE])
    settings = Training.read(recipe("alexnet-32", {"pipeline.replicas": 4, "pipeline.microbatches": 2}))
    engine = SingleProcess(net, settings, torch.device("cpu"))
    batch = Batch(images, labels, rows, 5)
    stats, evaluated = engine.forward_backward(batch).read(), engine.evaluate(batch).read()
    logits = plain(images[:5], rows[:5])
    reference = torch.nn.functional.cross_entropy(logits, labels[:5])
    reference.backward()  # type: ignore[no-untyped-call]
    assert stats.loss / 5 == pytest.approx(reference.item(), rel=1e-6)
    assert stats.top1_wrong == (logits.argmax(1) != labels[:5]).sum()
    seen = plain.eval()(images[:5], rows[:5])
    assert evaluated.loss == pytest.approx(torch.nn.functional.cross_entropy(seen, labels[:5], reduction="sum").item(), rel=1e-6)
    for (name, ours), theirs in zip(engine.parameters().items(), plain.parameters(), strict=True):
        assert ours.grad is not None and theirs.grad is not None
        assert (ours.grad - theirs.grad).norm() <= 1e-6 * theirs.grad.norm(), name
