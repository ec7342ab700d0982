"""The measurements compare what they say, in the precisions that the machine has instructions for."""

import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.nets import meta_net, net_of, settings_of
from helpers.training import one_process, session_of
from torch.utils.flop_counter import FlopCounterMode

from alexnet.config.check import check
from alexnet.evaluate.predictions import probabilities
from alexnet.input.loader import Batch
from alexnet.models.costs import training_flops
from alexnet.pipeline.engine import PendingStats
from benchmarks import evaluation, peers, steps, training
from benchmarks.measure import Figures, read
from benchmarks.paper import paper
from benchmarks.precisions import precisions

ROOT = Path(__file__).parents[2]


def test_what_is_measured_names_every_setting_itself() -> None:
    assert check(paper(pipeline__microbatches=8)).pipeline.microbatches == 8


def test_hidden_instructions_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert precisions() == ("float32",)


def test_plain_pytorch_has_the_same_net() -> None:
    # As torch's own layers have it: alpha over five, the sum over all maps, nothing scaled in the test.
    net = net_of("alexnet", steps.CLASSES, lrn="code", lrn_scope="all", dropout="inverted").eval()
    plain = peers.plain_net().eval()
    weights = zip(plain.state_dict(), net.state_dict().values(), strict=True)
    plain.load_state_dict(dict(weights))
    images, _ = steps.random_batch(2, 227, steps.CLASSES, torch.device("cpu"))
    with torch.no_grad():
        torch.testing.assert_close(plain(images), net(images), rtol=1e-4, atol=1e-4)


def test_the_flop_of_a_step_are_those_that_torch_counts() -> None:
    # Torch counts grouped convolutions' gradients as if there were no groups, and the normalisation's sums: one tower, without.
    net = meta_net("alexnet", steps.CLASSES, towers=1, lrn="off", dropout="off").train()
    with FlopCounterMode(display=False) as counter:
        net(torch.empty(2, 3, 227, 227, device="meta")).sum().backward()
    assert training_flops(net, 227) == counter.get_total_flops() / 2


def test_rows_of_the_step_are_made_of_the_right_figures() -> None:
    figures = {"ours 4": [60.0], "ours 1": [50.0], "plain": [10.0], "limit": [400.0]}
    rows = {(row.what, row.unit): row for row in training.beside_plain("bfloat16", figures, flop=4e9)}
    what = "training step, bfloat16, 4 microbatches"
    assert rows[what, "images/s"].ratio == 6
    assert rows[f"{what}, of the limit", "GFLOP/s"].ratio == 60 * 4 / 400
    assert rows["training step, bfloat16, 1 microbatch", "images/s"].ratio == 5
    assert len(rows) == 4
    figures = {"ours 4": [60.0], "ours 1": [120.0], "as it comes": [30.0], "at its best": [80.0]}
    assert [row.ratio for row in training.beside_torchvision("bfloat16", figures)] == [2, 0.75, 4, 1.5]
    beside = training.beside_torchvision("float32", figures)
    assert [row.ratio for row in beside] == [2, 0.75]
    assert all("float32" in row.what and "float32" in row.peer for row in beside)


def test_an_epoch_tells_waiting_from_computing_and_leaves_the_validation_out(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    session = session_of(one_process(), settings_of("cifar10-32", batch_size=8, precision="float32"), tiny)
    batches, forward_backward, update = session.trainer.train_loader.epoch, session.engine.forward_backward, session.engine.update

    def slowly_fed(*arguments: Any) -> Iterator[Batch]:
        for batch in batches(*arguments):
            clock[0] += 1
            yield batch

    def slowly_computed(batch: Batch) -> PendingStats:
        clock[0] += 10
        return forward_backward(batch)

    def slowly_updated(optimizer: torch.optim.Optimizer) -> None:
        clock[0] += 5
        update(optimizer)

    monkeypatch.setattr(session.trainer.train_loader, "epoch", slowly_fed)
    monkeypatch.setattr(session.engine, "forward_backward", slowly_computed)
    monkeypatch.setattr(session.engine, "update", slowly_updated)
    monkeypatch.setattr(session.trainer, "_validate", lambda run: pytest.fail("the validation is measured"))
    run = steps.epochs(session.trainer)
    assert [run(), run()] == 2 * [(3.0, 48.0)]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], Figures]:
    """What ``training`` makes of contenders that always give the same."""
    figures = {"ours 4": 60, "ours 1": 50, "limit": 400, "plain": 10, "as it comes": 30, "at its best": 80}
    # Each a builder of a contender that always gives the same.
    made = {name: partial(partial, float, figure) for name, figure in figures.items()}
    assert made.keys() == training.plain_contenders("bfloat16", Namespace(batch=1, threads=1)).keys() | (
        training.torchvision_contenders("bfloat16", Namespace(batch=1, threads=1)).keys()
    )
    monkeypatch.setattr(training, "plain_contenders", lambda precision, options: made)
    monkeypatch.setattr(training, "torchvision_contenders", lambda precision, options: made)

    def run() -> Figures:
        training.main(["--only", "bfloat16", "torchvision", "--rounds", "2", "--json", str(tmp_path / "figures.json")])
        return read(tmp_path / "figures.json")

    return run


def test_the_parts_of_the_step_are_measured_and_told(measured: Callable[[], Figures], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "precisions", lambda: ("bfloat16", "float32"))
    figures = measured()
    assert [row.ratio for row in figures.comparisons if row.unit == "images/s"] == [6, 5, 2, 0.75, 50 / 30, 0.625]
    assert {len(row.ours) for row in figures.comparisons} == {2}
    assert figures.left_out == []


def test_without_bfloat16_instructions_the_step_is_measured_in_float32(
    measured: Callable[[], Figures], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    figures = measured()
    assert {row.what for row in figures.comparisons} == {"training step, float32, 4 microbatches"}
    steps = ["training step, bfloat16, 4 microbatches", "training step, bfloat16, 1 microbatch"]
    assert figures.left_out == steps + [f"{step}, beside torchvision's net" for step in steps]


def test_the_bare_forward_pass_computes_as_much_as_the_test() -> None:
    net = net_of("alexnet").eval()
    squares, _ = steps.random_batch(1, 256, 1, torch.device("cpu"))
    counts = []
    for work in (
        lambda: probabilities(net, squares, evaluation.CARD),
        lambda: evaluation.forward(net, squares[..., :227, :227]),
    ):
        with FlopCounterMode(display=False) as counter:
            work()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0
