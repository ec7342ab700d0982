"""A training's tensors stay on its GPU, in the layouts that kernels and NCCL take; shown on fake ones, without a GPU."""

from typing import Any

import pytest
import torch
from helpers.fake_gpu import Kept, fake_gpus, on_gpu
from helpers.nets import meta_net
from helpers.pipelines import recipe

from alexnet.config.nets import NETS
from alexnet.config.training import Training
from alexnet.input.loader import Batch
from alexnet.pipeline.distributed import Ranks
from alexnet.pipeline.engine import Engine
from alexnet.train.optimizers import build_optimizer, set_rate
from alexnet.train.session import build_engine

CLASSES, ROWS = 10, 8


def batch_on(device: torch.device, settings: Training, images: bool = True) -> Batch:
    side = settings.crop_size
    pixels = torch.empty(ROWS, side, side, 3, device=device).permute(0, 3, 1, 2) if images else None
    labels = torch.zeros(ROWS, dtype=torch.int64, device=device)
    return Batch(pixels, labels, torch.arange(ROWS, device=device), ROWS)


def steps(engine: Engine, settings: Training, device: torch.device, last: bool = True) -> None:
    """Two steps and an evaluation, their results on the device."""
    optimizer, batch = build_optimizer(engine.parameters(), settings), batch_on(device, settings, engine.takes_images)
    for _ in range(2):
        engine._captured._warm = False  # type: ignore[attr-defined]
        results: list[Any] = [engine.forward_backward(batch)]
        for deferred in engine.deferred.values():
            deferred.compute()
        for name, parameter in engine.parameters().items():
            assert parameter.grad is not None and parameter.grad.device == device, name
            assert parameter.grad.stride() == parameter.stride() and parameter.grad.dtype == torch.float32, name
        engine.update(optimizer)
        set_rate(optimizer, 0.001)
    results.append(engine.evaluate(batch))
    for result in results:
        assert isinstance(result, Kept) and (result.sums is not None) == last
        assert not last or (result.sums.device == device and result.sums.shape == (3,))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("model", NETS)
def test_a_step_of_one_process_stays_on_its_gpu(model: str, precision: str) -> None:
    settings = Training.read(recipe(model, {"precision": precision, "pipeline.ranks": 1}))
    net, device = meta_net(model, CLASSES), torch.device("cuda", 0)
    with fake_gpus() as transfers:
        steps(build_engine(on_gpu(net, device), settings, Ranks(0, 1, device)), settings, device)
        assert not transfers.found
