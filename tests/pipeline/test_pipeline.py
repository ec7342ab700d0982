"""The split is invisible: two ranks give bitwise what one process gives."""

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.marks import needs_bfloat16
from helpers.nets import net_of, settings_of

from alexnet.input.shards import Shards
from alexnet.files.whole import read_json
from alexnet.pipeline.pipeline import IGNORE, OneProcess, split
from alexnet.pipeline.distributed import Runtime, prepare_process
from alexnet.config.nets import NETS
from alexnet.config.training import Training
from alexnet.train.session import Session
from benchmarks.ranks import Ranks

CUTS_AND_SCHEDULES = [
    (["conv3"], "1F1B"),
    (["conv3"], "GPipe"),
    (["conv3"], "Interleaved1F1B"),
    (["conv3"], "InterleavedZeroBubble"),
    (["fc6"], "1F1B"),
    (["fc6"], "GPipe"),
    (["conv3", "fc6", "fc7"], "Interleaved1F1B"),
    (["conv3", "fc6", "fc7"], "InterleavedZeroBubble"),
]
LARGE = [model for model, net in NETS.items() if net.crops[0] > 32]
NETS_AND_CUTS = [
    *((model, cut, "float32") for model in LARGE for cut in NETS[model].cuts),
    *((model, cut, "bfloat16") for model in NETS if model not in LARGE for cut in NETS[model].cuts),
    pytest.param("alexnet", "conv3", "bfloat16", marks=needs_bfloat16),
]


def trained(runtime: Runtime, settings: dict[str, Any], folder: Path) -> tuple[list[Any], dict[str, str]]:
    """Train on a small set; the steps' losses and the epochs' figures, and a hash of each tensor that this rank has."""
    data = folder / "data"
    session = Session(
        Training.read(settings),
        runtime,
        Shards(data / "shards", "train"),
        Shards(data / "shards", "val"),
        read_json(data / "eigenbasis.json"),
        np.load(data / "mean.npy"),
    )
    losses: list[float] = []
    epochs = list(
        session.run(observe=lambda values, step: losses.extend(told for name, told in values.items() if name == "step_loss"))
    )
    return [losses, epochs], hashes(session.engine.named_parameters())


def hashes(parameters: Any) -> dict[str, str]:
    return {name: hashlib.sha1(value.detach().contiguous().numpy()).hexdigest() for name, value in parameters}


def gathered(runtime: Runtime, settings: dict[str, Any], folder: Path) -> dict[str, str]:
    """Hashes of the whole net's tensors, as every rank gets them at the end of a training."""
    data = folder / "data"
    shards = Shards(data / "shards", "train"), Shards(data / "shards", "val")
    basis, mean = read_json(data / "eigenbasis.json"), np.load(data / "mean.npy")
    return hashes(Session(Training.read(settings), runtime, *shards, basis, mean).weights().items())


def alone(settings: dict[str, Any], folder: Path) -> tuple[list[Any], dict[str, str]]:
    """What one process of one thread gives."""
    threads = torch.get_num_threads()
    prepare_process(threads=1)
    result = trained(Runtime(0, 1, torch.device("cpu")), settings, folder)
    torch.set_num_threads(threads)
    return result


def recipe(model: str, precision: str = "float32", **changes: Any) -> dict[str, Any]:
    """Steps of eight images, the last batch not full, with crops, flips, colour noise and dropout."""
    steps = {"batch_size": 8, "epochs": 1, "flip": True, "color_noise": 0.1, "precision": precision, "lr": 0.001}
    return settings_of(NETS[model].recipe, **{"pipeline.cuts": ["conv3"], "pipeline.ranks": 2, **steps, **changes})


@pytest.fixture(scope="module")
def expected(tiny: Path) -> dict[str, Any]:
    """What one process gives, by precision."""
    return {precision: alone(recipe("alexnet-32", precision), tiny) for precision in ("float32", "bfloat16")}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("cuts", "schedule"), CUTS_AND_SCHEDULES)
def test_two_ranks_give_the_weights_of_one(
    pair: Any, expected: dict[str, Any], tiny: Path, precision: str, cuts: list[str], schedule: str
) -> None:
    settings = recipe("alexnet-32", precision, **{"pipeline.cuts": cuts, "pipeline.schedule": schedule})
    (figures, weights), (others_figures, others) = pair(trained, settings, tiny)
    expected_figures, whole = expected[precision]
    assert figures == expected_figures == others_figures  # every rank knows the same losses and errors
    assert len(figures[0]) == 3  # steps
    assert not weights.keys() & others.keys()
    assert weights | others == whole


@pytest.mark.parametrize(("model", "cut", "precision"), NETS_AND_CUTS)
def test_every_net_may_be_cut_at_each_of_its_cuts(pair: Any, few: Path, tiny: Path, model: str, cut: str, precision: str) -> None:
    folder, batch = (few, 6) if NETS[model].crops[0] > 32 else (tiny, 10)
    settings = recipe(model, precision, batch_size=batch, **{"pipeline.cuts": [cut], "pipeline.microbatches": 2})
    if (model, precision) not in ONCE:
        ONCE[model, precision] = alone(settings, folder)
    (figures, weights), (_, others) = pair(trained, settings, folder)
    assert (figures, weights | others) == ONCE[model, precision]
    assert len(figures[0]) == 2  # steps
    assert f"{cut}.weight" in others


ONCE: dict[tuple[str, str], Any] = {}
"""What one process gives; no cut changes it."""


def test_three_ranks_give_the_weights_of_one(tiny: Path) -> None:
    pipeline = {"pipeline.ranks": 3, "pipeline.cuts": ["conv3", "fc6"], "pipeline.microbatches": 3, "batch_size": 9}
    settings = recipe("alexnet-32", **pipeline, **{"pipeline.schedule": "InterleavedZeroBubble"})
    figures, whole = alone(settings, tiny)
    with Ranks(3, threads=1) as ranks:
        results = ranks(trained, settings, tiny)
    assert [told for told, _ in results] == 3 * [figures]
    assert {name: value for _, weights in results for name, value in weights.items()} == whole


def test_every_rank_gets_the_whole_net_at_the_end(pair: Any, tiny: Path) -> None:
    first, second = pair(gathered, recipe("alexnet-32"), tiny)
    net = net_of("alexnet-32")
    assert first == second
    assert list(first) == [name for name, _ in net.named_parameters()]


def test_training_moves_every_weight(expected: dict[str, Any], tiny: Path) -> None:
    fresh = gathered(Runtime(0, 1, torch.device("cpu")), recipe("alexnet-32"), tiny)
    assert all(expected["float32"][1][name] != value for name, value in fresh.items())


def test_one_process_gives_the_gradients_of_the_whole_batch() -> None:
    """Microbatches, filled-up rows and shares of the mean come to plain autograd over the real rows."""
    net, plain = net_of("alexnet-32").double(), net_of("alexnet-32").double()
    generator = torch.Generator().manual_seed(0)
    images, rows = torch.randn(8, 3, 28, 28, dtype=torch.float64, generator=generator), torch.arange(8)
    labels = torch.tensor([1, 2, 3, 4, 5, IGNORE, IGNORE, IGNORE])
    engine = OneProcess(net, 4, torch.float32, torch.device("cpu"))
    loss, logits = engine.step(images, labels, rows) or (None, None)
    engine.form_gradients()
    reference = torch.nn.functional.cross_entropy(plain(images[:5], rows[:5]), labels[:5])
    reference.backward()  # type: ignore[no-untyped-call]
    assert loss is not None and logits is not None and logits.shape == (8, 10)
    torch.testing.assert_close((loss / 5).double(), reference.detach(), rtol=1e-6, atol=0)
    for (name, ours), theirs in zip(net.named_parameters(), plain.parameters(), strict=True):
        assert ours.grad is not None and theirs.grad is not None
        assert (ours.grad - theirs.grad).norm() <= 1e-6 * theirs.grad.norm(), name


def test_more_threads_change_the_weights_of_three_steps_in_last_bits_alone(tiny: Path) -> None:
    before, found = torch.get_num_threads(), []
    data = tiny / "data"
    for threads in (1, 2):
        prepare_process(threads)
        shards = Shards(data / "shards", "train"), Shards(data / "shards", "val")
        settings = Training.read(recipe("alexnet-32", threads=threads))
        basis, mean = read_json(data / "eigenbasis.json"), np.load(data / "mean.npy")
        session = Session(settings, Runtime(0, 1, torch.device("cpu")), *shards, basis, mean)
        assert [epoch.epoch for epoch in session.run(observe=lambda values, step: None)] == [1]
        found.append(session.weights())
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
        pair(trained, recipe("alexnet-32", lr=1e9), tiny)
    said = re.findall(r"UserError: the loss is (?:nan|inf) at step (\d+) .*lr: 1000000000.* is too high", str(failure.value))
    assert len(said) == 2
    assert said[0] == said[1]


def test_two_ranks_drop_the_rate_stop_early_and_keep_the_best_epoch_as_one_does(pair: Any, tiny: Path) -> None:
    """At this rate the loss explodes: an early epoch stays the best one, and the others make the rate drop."""
    changes = {"epochs": 9, "keep": "best", "lr_schedule": "plateau", "lr_patience": 1, "early_stop": 3, "lr": 0.1}
    (_, epochs), best = alone(recipe("alexnet-32", **changes), tiny)
    (_, last_epochs), last = alone(recipe("alexnet-32", **(changes | {"keep": "last"})), tiny)
    errors = [epoch.val_top1_error for epoch in epochs]
    assert epochs[-1].lr < epochs[0].lr  # the rate has dropped
    assert errors.index(min(errors)) == len(errors) - 1 - 3  # the last three epochs brought no gain ...
    assert len(errors) < 9  # ... and ended it
    assert epochs == last_epochs
    (figures, weights), (_, others) = pair(trained, recipe("alexnet-32", **changes), tiny)
    assert figures[1] == epochs
    assert weights | others == best
    assert best != last
