"""The split is invisible: two ranks give bitwise what one process gives."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nets import net_of

from alexnet.data.shards import Shards
from alexnet.files import read_json
from alexnet.parallel.pipeline import split
from alexnet.parallel.runtime import Runtime, prepare_process
from alexnet.settings.training import Training
from alexnet.training.session import Session

CUTS_AND_SCHEDULES = [
    (["conv3"], "1F1B"),
    (["conv3"], "GPipe"),
    (["fc6"], "1F1B"),
    (["fc6"], "GPipe"),
    (["conv3", "fc6", "fc7"], "Interleaved1F1B"),
    (["conv3", "fc6", "fc7"], "InterleavedZeroBubble"),
]


def trained(runtime: Runtime, settings: dict[str, Any], folder: Path) -> tuple[list[Any], dict[str, torch.Tensor] | None]:
    """Train on the small set; the epochs' figures and, from rank 0, the weights."""
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
    epochs = list(session.run(observe=lambda values, step: losses.append(values["step_loss"])))
    weights = session.weights()
    return [losses, epochs], weights if runtime.lead else None


def recipe(shipped: Any, precision: str, cuts: list[str], schedule: str) -> dict[str, Any]:
    """Three steps of eight images, the last batch not full, with crops, flips, colour noise and dropout."""
    settings = shipped() | {"batch_size": 8, "epochs": 1, "flip": True, "precision": precision, "lr": 0.001}
    settings["pipeline"] = {"ranks": 2, "cuts": cuts, "schedule": schedule, "microbatches": 4}
    return dict(settings)


@pytest.fixture(scope="module")
def alone(shipped: Any, small: Path) -> dict[str, Any]:
    """What one process of one thread gives, by precision."""
    threads = torch.get_num_threads()
    prepare_process(threads=1)
    one = Runtime(0, 1, torch.device("cpu"))
    results = {p: trained(one, recipe(shipped, p, ["conv3"], "1F1B"), small) for p in ("float32", "bfloat16")}
    torch.set_num_threads(threads)
    return results


@pytest.mark.parametrize(
    ("precision", "cuts", "schedule"),
    [(precision, *case) for precision in ("float32", "bfloat16") for case in CUTS_AND_SCHEDULES],
)
def test_two_ranks_give_the_weights_of_one(
    pair: Any, alone: dict[str, Any], shipped: Any, small: Path, precision: str, cuts: list[str], schedule: str
) -> None:
    (figures, weights), (others_figures, _) = pair(trained, recipe(shipped, precision, cuts, schedule), small)
    expected_figures, expected = alone[precision]
    assert figures == expected_figures == others_figures  # every rank knows the same losses and errors
    assert weights.keys() == expected.keys()
    different = [name for name in expected if not torch.equal(weights[name], expected[name])]
    assert not different


def test_training_moves_every_weight(alone: dict[str, Any], shipped: Any) -> None:
    from alexnet.model.initialization import initialize

    net = net_of()
    initialize(net, "paper", shipped()["seed"])
    figures, weights = alone["float32"]
    assert len(figures[0]) == 3  # steps
    assert all(not torch.equal(weights[name], value) for name, value in net.named_parameters())


def test_one_process_gives_the_gradients_of_the_whole_batch(shipped: Any) -> None:
    """Microbatches, filled-up rows and shares of the mean come to plain autograd over the real rows."""
    from alexnet.parallel.pipeline import IGNORE, OneProcess

    net, plain = net_of(), net_of()
    plain.load_state_dict(net.state_dict())
    images, labels = torch.randn(8, 3, 227, 227) * 60, torch.tensor([1, 2, 3, 4, 5, IGNORE, IGNORE, IGNORE])
    rows = torch.arange(8)
    engine = OneProcess(net, 4, torch.float32, torch.device("cpu"))
    loss, logits = engine.step(images, labels, rows) or (None, None)
    expected = torch.nn.functional.cross_entropy(plain(images[:5], rows[:5]), labels[:5])
    expected.backward()  # type: ignore[no-untyped-call]
    assert loss is not None and logits is not None and logits.shape == (8, 10)
    torch.testing.assert_close(loss / 5, expected.detach(), rtol=1e-5, atol=1e-6)
    for (name, ours), theirs in zip(net.named_parameters(), plain.parameters(), strict=True):
        assert ours.grad is not None and theirs.grad is not None
        assert (ours.grad - theirs.grad).norm() <= 1e-4 * theirs.grad.norm(), name


def test_a_cut_before_fc6_leaves_the_flattening_to_the_second_stage() -> None:
    with torch.device("meta"):
        stages = split(net_of(), ("conv3", "fc6"))
    names = [[name for name, _ in stage.named_children()] for stage in stages]
    assert (names[0][-1], names[1][0], names[1][-1], names[2][0]) == ("pool2", "conv3", "pool5", "flatten")
    assert [name for stage in names for name in stage] == [name for name, _ in net_of().named_children()]


def test_a_loss_that_is_not_finite_stops_every_rank_before_the_step(pair: Any, shipped: Any, small: Path) -> None:
    with pytest.raises(AssertionError) as failure:
        pair(trained, recipe(shipped, "float32", ["conv3"], "1F1B") | {"lr": 1e6}, small)
    said = re.findall(r"UserError: the loss is (?:nan|inf) at step (\d+) .*lr: 1000000.* is too high", str(failure.value))
    assert len(said) == 2
    assert said[0] == said[1]


def test_two_ranks_drop_the_rate_and_keep_the_best_epoch_as_one_does(pair: Any, shipped: Any, small: Path) -> None:
    """At this rate the loss explodes: the first epoch stays the best one, and the others make the rate drop."""
    changes = {"epochs": 3, "keep": "best", "lr_patience": 1, "lr": 0.03}
    settings = recipe(shipped, "float32", ["conv3"], "1F1B") | changes
    threads = torch.get_num_threads()
    prepare_process(threads=1)
    one = Runtime(0, 1, torch.device("cpu"))
    (_, epochs), expected = trained(one, settings, small)
    (_, last_epochs), last = trained(one, settings | {"keep": "last"}, small)
    torch.set_num_threads(threads)
    errors = [epoch.val_top1_error for epoch in epochs]
    assert epochs[-1].lr < epochs[0].lr  # the rate has dropped
    assert errors.index(min(errors)) == 0  # the first is the best
    assert epochs == last_epochs
    (figures, weights), _ = pair(trained, settings, small)
    assert figures[1] == epochs
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert not all(torch.equal(last[name], expected[name]) for name in expected)
