"""A training's tensors stay on its GPU, in the layouts that kernels and NCCL take; shown on fake ones, without a GPU."""

from typing import Any

import pytest
import torch
from helpers.cards import card_of
from helpers.fake_gpu import Kept, fake_gpus, on_gpu
from helpers.fake_ranks import Done, Log, ends, rank_of
from helpers.nets import meta_net
from helpers.pipelines import CUTS_AND_SCHEDULES, recipe

from alexnet.config.nets import NETS
from alexnet.config.training import Training
from alexnet.evaluate.predictions import probabilities
from alexnet.input.loader import Batch
from alexnet.models.numerics import PRECISIONS
from alexnet.pipeline.distributed import Ranks
from alexnet.pipeline.engine import Engine
from alexnet.train import checkpoint
from alexnet.train.optimizers import build_optimizer, set_rate
from alexnet.train.session import build_engine

CLASSES = 10
GPU = torch.device("cuda", 0)


def settings_of(model: str, **changes: Any) -> Training:
    return Training.read(recipe(model, {"pipeline.microbatches": 4, **changes}))


def train(engine: Engine, settings: Training, device: torch.device, last: bool = True) -> None:
    """Two steps and an evaluation, their results on the device."""
    rows, side = settings.batch_size, settings.crop_size
    images = torch.empty(rows, side, side, 3, device=device).permute(0, 3, 1, 2) if engine.takes_images else None
    batch = Batch(images, torch.zeros(rows, dtype=torch.int64, device=device), torch.arange(rows, device=device), rows)
    optimizer, results = build_optimizer(engine.parameters(), settings), list[Any]()
    for rate in (0.1, 0.01):
        set_rate(optimizer, rate)
        results.append(engine.forward_backward(batch))
        for deferred in engine.deferred.values():
            deferred.compute()
        for name, parameter in engine.parameters().items():
            assert parameter.grad is not None and parameter.grad.device == device, name
            assert parameter.grad.stride() == parameter.stride() and parameter.grad.dtype == torch.float32, name
        engine.update(optimizer)
    results.append(engine.evaluate(batch))
    for result in results:
        assert isinstance(result, Kept) and (result.sums is not None) == last
        assert result.sums is None or (result.sums.device == device and result.sums.shape == (3,))


@pytest.mark.parametrize(("model", "precision"), [("alexnet", "float32"), *((model, "bfloat16") for model in NETS)])
def test_a_step_of_one_process_stays_on_its_gpu(model: str, precision: str) -> None:
    settings, net = settings_of(model, precision=precision), meta_net(model, CLASSES)
    with fake_gpus() as transfers:
        train(build_engine(on_gpu(net, GPU), settings, Ranks(0, 1, GPU)), settings, GPU)
        assert not transfers.found


def logs_of(settings: Training) -> list[Log]:
    """What each rank sends, receives and waits for in a training whose tensors stay on its GPU."""
    count, logs = settings.pipeline.ranks, list[Log]()
    for rank in range(count):
        net, device = meta_net("alexnet-32", CLASSES), torch.device("cuda", rank)
        with rank_of(rank, count) as log, fake_gpus() as transfers:
            engine = build_engine(on_gpu(net, device), settings, Ranks(rank, count, device, boundary=device))
            transfers.found.clear()  # of shapes, to the meta device
            train(engine, settings, device, last=rank == count - 1)
            assert not transfers.found
        logs.append(log)
    return logs


@pytest.mark.parametrize(
    ("cuts", "schedule", "precision"),
    [*((*which, "float32") for which in CUTS_AND_SCHEDULES), *((*which, "bfloat16") for which in CUTS_AND_SCHEDULES[-1:])],
)
def test_what_two_ranks_send_lies_on_their_gpus_and_nccl_comes_to_an_end(cuts: list[str], schedule: str, precision: str) -> None:
    logs = logs_of(settings_of("alexnet-32", precision=precision, **{"pipeline.cuts": cuts, "pipeline.schedule": schedule}))
    for log, peer in zip(logs, (1, 0), strict=True):
        assert {call for done in log for call in done.calls} == {(way, peer, PRECISIONS[precision]) for way in ("isend", "irecv")}
    assert ends(logs)


@pytest.mark.parametrize(
    ("ranks", "schedule"),
    [(3, "1F1B"), (3, "InterleavedZeroBubble"), (4, "1F1B"), (4, "GPipe"), (4, "Interleaved1F1B"), (4, "InterleavedZeroBubble")],
)
def test_more_ranks_come_to_an_end_too(ranks: int, schedule: str) -> None:
    pipeline = {"pipeline.ranks": ranks, "pipeline.cuts": ["conv3", "fc6", "fc7"][: ranks - 1], "pipeline.schedule": schedule}
    assert ends(logs_of(settings_of("alexnet-32", **pipeline, **{"pipeline.microbatches": ranks, "batch_size": ranks})))


@pytest.mark.parametrize("waits", [False, True])
def test_two_ranks_that_both_receive_first_come_to_no_end(waits: bool) -> None:
    """Whether they wait for it or have NCCL send behind it."""
    receive, send = (Done(number, ((way, 1, torch.float32),)) for number, way in enumerate(("irecv", "isend")))
    first = [receive, *[Done(0)] * waits, send, *[Done(1)] * waits]
    second = [done._replace(calls=tuple((way, 0, kind) for way, _, kind in done.calls)) for done in first]
    assert not ends([first, second])
    sends_first = [*second[len(second) // 2 :], *second[: len(second) // 2]]
    assert ends([first, sends_first])


def test_an_evaluation_stays_on_its_gpu() -> None:
    net = meta_net("alexnet", CLASSES)
    with fake_gpus() as transfers:
        images = torch.empty(4, 256, 256, 3, device=GPU).permute(0, 3, 1, 2)
        found = probabilities(on_gpu(net, GPU).eval(), images, card_of("alexnet"))
        assert not transfers.found
    for one in (found.center, found.ten_crop):
        assert (one.device, one.dtype, one.shape) == (GPU, torch.float32, (4, CLASSES))


@pytest.mark.parametrize("optimizer", ["sgd", "torch_sgd", "adam", "adamw"])
def test_a_checkpoint_lies_on_the_cpu_and_comes_back_to_the_gpu(optimizer: str) -> None:
    settings, net = settings_of("alexnet-32", optimizer=optimizer), meta_net("alexnet-32", CLASSES)
    with fake_gpus():
        parameters = dict(on_gpu(net, GPU).named_parameters())
        written, read = (build_optimizer(parameters, settings) for _ in range(2))
        for parameter in parameters.values():
            parameter.grad = torch.empty_like(parameter)
        written.step()
        tensors = checkpoint._tensors(parameters, written, parameters)
        assert {(tensor.device.type, tensor.is_contiguous()) for tensor in tensors.values()} == {("cpu", True)}
        best = checkpoint._put(tensors, parameters, read)
        for name, parameter in parameters.items():
            assert written.state[parameter].keys() == read.state[parameter].keys()
            for value in (best[name], *read.state[parameter].values()):
                assert value.device == GPU and value.stride() in (parameter.stride(), ())
