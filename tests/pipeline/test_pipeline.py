"""The split is invisible: two ranks give bitwise what one process gives."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.marks import needs_bfloat16
from helpers.nets import net_of
from helpers.pipelines import CUTS_AND_SCHEDULES, assert_same_when_cut, recipe
from helpers.training import Trained, alone, hashes, one_process, session_of, trained

from alexnet.config.nets import NETS
from alexnet.config.training import Training
from alexnet.input.loader import IGNORE, Batch
from alexnet.models.numerics import prepare_process
from alexnet.pipeline.distributed import Ranks
from alexnet.pipeline.pipeline import Pipeline, split
from alexnet.pipeline.single_process import SingleProcess
from alexnet.train.checkpoint import Checkpoint
from alexnet.train.session import build_engine
from alexnet.train.trainer import Silent

FROZEN = [("conv1", "conv2"), ("conv1", "conv2", "conv3", "conv4", "conv5"), ("conv2", "fc7"), ("fc6", "fc7", "fc8")]
NETS_AND_CUTS = [
    *(("alexnet", "conv3", "float32"), ("alexnet-owt", "fc6", "float32")),
    *((model, cut, "bfloat16") for model, net in NETS.items() if net.crops[0] <= 32 for cut in NETS[model].cuts),
    pytest.param("alexnet", "conv3", "bfloat16", marks=needs_bfloat16),
]


def gathered(ranks: Ranks, settings: dict[str, Any], folder: Path) -> dict[str, str]:
    """Hashes of the whole net's tensors, as every rank gets them at the end of a training."""
    return hashes(session_of(ranks, settings, folder).engine.full_state_dict())


@pytest.fixture(scope="module")
def expected(tiny: Path) -> dict[str, Trained]:
    """What one process gives, by precision."""
    return {precision: alone(recipe("alexnet-32", {"precision": precision}), tiny) for precision in ("float32", "bfloat16")}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("cuts", "schedule"), CUTS_AND_SCHEDULES)
def test_two_ranks_give_the_weights_of_one(
    pair: Any, expected: dict[str, Trained], tiny: Path, precision: str, cuts: list[str], schedule: str
) -> None:
    settings = recipe("alexnet-32", {"precision": precision, "pipeline.cuts": cuts, "pipeline.schedule": schedule})
    (*figures, weights), (*others_figures, others) = pair(trained, settings, tiny)
    *expected_figures, whole = expected[precision]
    assert figures == expected_figures == others_figures  # every rank knows the same losses and errors
    assert len(figures[0]) == 3  # steps
    assert not weights.keys() & others.keys()
    assert weights | others == whole


@pytest.mark.parametrize("freeze", FROZEN, ids="-".join)
def test_frozen_layers_stay_and_the_others_learn_the_same_on_two_ranks(pair: Any, tiny: Path, freeze: tuple[str, ...]) -> None:
    """Above, in and below a stage, and a whole stage, whose rank then has nothing to learn."""
    learning = {"freeze": freeze, "lr_mult": {"fc8": 10}, "decay_mult": {"fc8": 0}}
    start = gathered(one_process(), recipe("alexnet-32", learning), tiny)
    *figures, whole = alone(recipe("alexnet-32", learning), tiny)
    assert {name for name, value in start.items() if whole[name] == value} == {
        f"{layer}.{kind}" for layer in freeze for kind in ("weight", "bias")
    }
    for cuts, schedule in CUTS_AND_SCHEDULES[::3] if len(freeze) < 5 else CUTS_AND_SCHEDULES:
        cut = {"pipeline.cuts": cuts, "pipeline.schedule": schedule}
        (*ours, weights), (*_, others) = pair(trained, recipe("alexnet-32", learning | cut), tiny)
        assert (ours, weights | others) == (figures, whole), cut


@pytest.mark.parametrize(("model", "cut", "precision"), NETS_AND_CUTS)
def test_nets_may_be_cut_at_each_of_their_cuts(pair: Any, few: Path, tiny: Path, model: str, cut: str, precision: str) -> None:
    """The large ones at the others in ``tests/services/test_large_nets.py``."""
    folder, batch = (few, 6) if NETS[model].crops[0] > 32 else (tiny, 10)
    assert_same_when_cut(pair, folder, model, cut, precision=precision, batch_size=batch)


def test_every_rank_gets_the_whole_net_at_the_end(pair: Any, tiny: Path) -> None:
    first, second = pair(gathered, recipe("alexnet-32"), tiny)
    net = net_of("alexnet-32")
    assert first == second
    assert list(first) == [name for name, _ in net.named_parameters()]


def test_training_moves_every_weight(expected: dict[str, Trained], tiny: Path) -> None:
    fresh = gathered(one_process(), recipe("alexnet-32"), tiny)
    assert all(expected["float32"][2][name] != value for name, value in fresh.items())


def names_and_kind(ranks: Ranks, settings: dict[str, Any]) -> tuple[list[str], str]:
    engine = build_engine(net_of("alexnet-32"), Training.read(settings), ranks)
    return list(engine.parameters()), type(engine).__name__


def test_the_net_keeps_the_names_of_its_parameters_in_every_engine(pair: Any) -> None:
    names = [name for name, _ in net_of("alexnet-32").named_parameters()]
    settings = recipe("alexnet-32", {"pipeline.cuts": ["conv3", "fc6", "fc7"], "pipeline.schedule": "Interleaved1F1B"})
    assert names_and_kind(one_process(), settings) == (names, SingleProcess.__name__)
    (first, kind), (second, other_kind) = pair(names_and_kind, settings)
    assert kind == other_kind == Pipeline.__name__
    assert {name.partition(".")[0] for name in first} == {"conv1", "conv2", "fc6"}  # stages 0 and 2
    assert sorted(first + second) == sorted(names)


def test_one_process_gives_the_gradients_of_the_whole_batch() -> None:
    """Microbatches, padding and shares of the mean come to plain autograd over the real rows."""
    net, plain = net_of("alexnet-32").double(), net_of("alexnet-32").double()
    generator = torch.Generator().manual_seed(0)
    images, rows = torch.randn(8, 3, 28, 28, dtype=torch.float64, generator=generator), torch.arange(8)
    labels = torch.tensor([1, 2, 3, 4, 5, IGNORE, IGNORE, IGNORE])
    engine = SingleProcess(net, Training.read(recipe("alexnet-32", {"pipeline.microbatches": 4})), torch.device("cpu"))
    stats = engine.forward_backward(Batch(images, labels, rows, 5)).read()
    engine.deferred[0].compute()
    logits = plain(images[:5], rows[:5])
    reference = torch.nn.functional.cross_entropy(logits, labels[:5])
    reference.backward()  # type: ignore[no-untyped-call]
    assert stats.loss / 5 == pytest.approx(reference.item(), rel=1e-6)
    assert stats.top1_wrong == (logits.argmax(1) != labels[:5]).sum()
    assert stats.top5_wrong == (logits.topk(5).indices != labels[:5, None]).all(1).sum()
    for (name, ours), theirs in zip(engine.parameters().items(), plain.parameters(), strict=True):
        assert ours.grad is not None and theirs.grad is not None
        assert (ours.grad - theirs.grad).norm() <= 1e-6 * theirs.grad.norm(), name


def test_more_threads_change_the_weights_of_three_steps_in_last_bits_alone(tiny: Path) -> None:
    before, found = torch.get_num_threads(), []
    for threads in (1, 2):
        prepare_process(threads)
        ranks = one_process()
        session = session_of(ranks, recipe("alexnet-32", {"threads": threads}), tiny)
        assert [epoch.epoch for epoch in session.trainer.fit(Silent(), Checkpoint(None, 0, ranks))] == [1]
        found.append(session.engine.full_state_dict())
    torch.set_num_threads(before)
    for name, weight in found[0].items():
        assert (weight - found[1][name]).norm() <= 1e-4 * weight.norm(), name


def test_a_cut_before_fc6_leaves_the_flattening_to_the_second_stage() -> None:
    net = net_of("alexnet-32")
    stages = split(net, ("conv3", "fc6"))
    names = [[name for name, _ in stage.named_children()] for stage in stages]
    assert (names[0][-1], names[1][0], names[1][-1], names[2][0]) == ("pool2", "conv3", "pool5", "flatten")
    assert [name for stage in names for name in stage] == [name for name, _ in net.named_children()]


def test_a_loss_that_is_not_finite_stops_every_rank_before_the_step(pair: Any, tiny: Path) -> None:
    with pytest.raises(AssertionError) as failure:
        pair(trained, recipe("alexnet-32", {"lr": 1e9}), tiny)
    said = re.findall(r"UserError: the loss is (?:nan|inf) at step (\d+) .*lr: 1000000000.* is too high", str(failure.value))
    assert len(said) == 2
    assert said[0] == said[1]


def test_two_ranks_drop_the_rate_stop_early_and_keep_the_best_epoch_as_one_does(pair: Any, tiny: Path) -> None:
    """At this rate the loss explodes: an early epoch stays the best one, and the others make the rate drop."""
    changes = {"epochs": 9, "keep": "best", "lr_schedule": "plateau", "lr_patience": 1, "early_stop": 3, "lr": 0.1}
    _, epochs, best = alone(recipe("alexnet-32", changes), tiny)
    _, last_epochs, last = alone(recipe("alexnet-32", changes | {"keep": "last"}), tiny)
    errors = [epoch.val_top1_error for epoch in epochs]
    assert epochs[-1].lr < epochs[0].lr  # the rate has dropped
    assert errors.index(min(errors)) == len(errors) - 1 - 3  # the last three epochs brought no gain ...
    assert len(errors) < 9  # ... and ended it
    assert epochs == last_epochs
    (_, figures, weights), (_, _, others) = pair(trained, recipe("alexnet-32", changes), tiny)
    assert figures == epochs
    assert weights | others == best
    assert best != last
