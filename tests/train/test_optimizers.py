"""The optimisers against their formulas in NumPy float64, on a weight and a bias, over a drop of the rate."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.nets import net_of, settings_of
from numpy.typing import NDArray

from alexnet.config.training import Training
from alexnet.input.loader import Batch
from alexnet.pipeline.single_process import SingleProcess
from alexnet.train.optimizers import build_optimizer, set_rate

Array = NDArray[np.float64]
Update = Callable[[Array, Array, dict[str, Array], float, float, int], Array]
"""From (w, g, what is remembered, rate, decay, step from 1) to the new w."""


def papers(w: Array, g: Array, kept: dict[str, Array], rate: float, decay: float, step: int) -> Array:
    """Section 5: v <- 0.9 v - decay rate w - rate g; w <- w + v."""
    kept["v"] = 0.9 * kept.get("v", 0) - decay * rate * w - rate * g
    return w + kept["v"]


def torchs(w: Array, g: Array, kept: dict[str, Array], rate: float, decay: float, step: int) -> Array:
    """torch.optim.SGD: v <- 0.9 v + decay w + g; w <- w - rate v."""
    kept["v"] = 0.9 * kept.get("v", 0) + decay * w + g
    return w - rate * kept["v"]


def adams(w: Array, g: Array, kept: dict[str, Array], rate: float, decay: float, step: int) -> Array:
    """Kingma and Ba, algorithm 1, beta1 from ``momentum``; the decay is a part of the gradient."""
    g = g + decay * w
    kept["m"] = 0.9 * kept.get("m", 0) + 0.1 * g
    kept["v"] = 0.999 * kept.get("v", 0) + 0.001 * g**2
    return w - rate * (kept["m"] / (1 - 0.9**step)) / (np.sqrt(kept["v"] / (1 - 0.999**step)) + 1e-8)


def adamws(w: Array, g: Array, kept: dict[str, Array], rate: float, decay: float, step: int) -> Array:
    """Loshchilov and Hutter: Adam without decay in the gradient; w shrinks by rate times decay."""
    return adams(w, g, kept, rate, 0, step) - rate * decay * w


FORMULAS: dict[str, Update] = {"sgd": papers, "torch_sgd": torchs, "adam": adams, "adamw": adamws}
BIASES = {"bias_lr_mult": 2.0, "bias_decay": 0.0}
"""As in the authors' code."""


def ten_steps(**changes: Any) -> tuple[list[Array], list[Array]]:
    """Weight and bias after ten steps, ours and by the formula; the rate drops tenfold after the fifth."""
    settings = Training.read(settings_of(None, lr=0.01, momentum=0.9, weight_decay=0.0005, **changes))
    formula, random = FORMULAS[settings.optimizer], np.random.default_rng(0)
    expected = [random.normal(0, 1, (20, 5)), random.normal(0, 1, 20)]
    parameters = [torch.nn.Parameter(torch.from_numpy(value.copy())) for value in expected]
    optimizer = build_optimizer(dict(zip(("fc8.weight", "fc8.bias"), parameters, strict=True)), settings)
    bias_decay = 0.0005 if settings.bias_decay is None else settings.bias_decay
    kept: list[dict[str, Array]] = [{}, {}]
    rate = 0.01
    for step in range(1, 11):
        if step == 6:
            rate = 0.001
            set_rate(optimizer, rate)
        gradients = [random.normal(0, 1, value.shape) for value in expected]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
        expected[0] = formula(expected[0], gradients[0], kept[0], rate, 0.0005, step)
        expected[1] = formula(expected[1], gradients[1], kept[1], rate * settings.bias_lr_mult, bias_decay, step)
    return [parameter.detach().numpy() for parameter in parameters], expected


@pytest.mark.parametrize("biases", [{}, BIASES], ids=["as the weights", "twice the rate, no decay"])
@pytest.mark.parametrize("optimizer", FORMULAS)
def test_ten_steps_with_a_drop_of_the_rate_are_the_formulas(optimizer: str, biases: dict[str, Any]) -> None:
    ours, expected = ten_steps(optimizer=optimizer, **biases)
    for mine, theirs in zip(ours, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-11, atol=1e-13)


def test_torchs_velocity_differs_from_the_papers_after_a_drop() -> None:
    """Else the test above could not tell them apart."""
    (papers_weight, _), _ = ten_steps(optimizer="sgd")
    (torchs_weight, _), _ = ten_steps(optimizer="torch_sgd")
    assert np.abs(papers_weight - torchs_weight).max() > 1e-2


def test_weights_and_their_updates_are_float32_under_bfloat16() -> None:
    """Maps alone are reduced: the logits are near those of float32, the loss is exact for them, and so is the update."""
    images = torch.randn(4, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    batch = Batch(images, torch.arange(4), torch.arange(4), 4)
    logits: dict[str, torch.Tensor] = {}
    for precision in ("float32", "bfloat16"):
        settings = Training.read(
            settings_of(None, lr=0.01, weight_decay=0.0005, precision=precision, **{"pipeline.microbatches": 1})
        )
        net = net_of("alexnet-32", crop_size=28)
        net.register_forward_hook(lambda *call, precision=precision: logits.update({precision: call[-1].detach()}))
        engine = SingleProcess(net, settings, torch.device("cpu"))
        loss = engine.forward_backward(batch).read().loss
        assert loss == F.cross_entropy(logits[precision].float(), batch.labels, reduction="sum").item()
        engine.deferred[0].compute()
        optimizer = build_optimizer(engine.parameters(), settings)
        before = {name: parameter.detach().double() for name, parameter in engine.parameters().items()}
        optimizer.step()
        for name, parameter in engine.parameters().items():
            assert parameter.grad is not None and parameter.dtype == parameter.grad.dtype == torch.float32
            expected = before[name] - 0.01 * (parameter.grad.double() + 0.0005 * before[name])
            torch.testing.assert_close(parameter.detach().double(), expected, rtol=1e-6, atol=1e-9)
    difference = (logits["float32"] - logits["bfloat16"]).abs().max()
    assert 0 < difference < 0.02 * logits["float32"].abs().max()


@pytest.mark.parametrize("biases", [{}, BIASES], ids=["as the weights", "twice the rate, no decay"])
def test_layers_with_rates_and_decays_of_their_own_learn_as_in_plain_torch(biases: dict[str, Any]) -> None:
    """Three steps of torch's SGD with a group for each parameter; frozen layers have ``requires_grad`` off."""
    layers = {"freeze": ["conv1", "conv4", "fc7"], "lr_mult": {"fc8": 10, "conv3": 0.5}, "decay_mult": {"conv2": 0, "fc8": 8}}
    settings = Training.read(
        settings_of(None, optimizer="torch_sgd", lr=0.01, weight_decay=0.05, **{"pipeline.microbatches": 2}, **layers, **biases)
    )
    ours, plain = net_of("alexnet-32", crop_size=28, dropout="off"), net_of("alexnet-32", crop_size=28, dropout="off")
    start = {name: parameter.detach().clone() for name, parameter in plain.named_parameters()}
    groups = []
    for name, parameter in plain.named_parameters():
        layer, _, kind = name.partition(".")
        parameter.requires_grad_(layer not in layers["freeze"])
        rate = 0.01 * {"fc8": 10, "conv3": 0.5}.get(layer, 1) * (biases.get("bias_lr_mult", 1) if kind == "bias" else 1)
        decay = 0.05 * {"conv2": 0, "fc8": 8}.get(layer, 1) * (biases.get("bias_decay", 1) if kind == "bias" else 1)
        groups.append({"params": [parameter], "lr": rate, "weight_decay": decay})
    reference = torch.optim.SGD(groups, momentum=settings.momentum)
    engine = SingleProcess(ours, settings, torch.device("cpu"))
    optimizer = build_optimizer(engine.parameters(), settings)
    for seed in range(3):
        images = torch.randn(4, 3, 28, 28, generator=torch.Generator().manual_seed(seed))
        engine.forward_backward(Batch(images, torch.arange(4), torch.arange(4), 4))
        engine.update(optimizer)
        F.cross_entropy(plain(images), torch.arange(4)).backward()  # type: ignore[no-untyped-call]
        reference.step()
        reference.zero_grad()
    for name, expected in plain.named_parameters():
        found, moved = engine.parameters()[name], (expected - start[name]).norm()
        assert (found - expected).norm() <= 1e-4 * moved, name
        assert (moved == 0) == (name.partition(".")[0] in layers["freeze"]), name


def test_nothing_is_computed_for_frozen_layers() -> None:
    """Neither their own gradients, nor those of inputs before the first layer that learns."""
    settings = Training.read(settings_of(None, freeze=["conv1", "conv2", "fc7"], **{"pipeline.microbatches": 1}))
    net = net_of("alexnet-32", crop_size=28)
    engine = SingleProcess(net, settings, torch.device("cpu"))
    called: list[tuple[str, str]] = []
    for name, layer in net.named_children():
        for kind in ("input_gradient", "weight_gradients"):
            if compute := getattr(layer, kind, None):
                setattr(layer, kind, partial(counted, called, (name, kind), compute))
    engine.forward_backward(Batch(torch.randn(2, 3, 28, 28), torch.arange(2), torch.arange(2), 2))
    engine.deferred[0].compute()
    weights = [name for name, kind in called if kind == "weight_gradients"]
    inputs = [name for name, kind in called if kind == "input_gradient"]
    assert sorted(weights) == ["conv3", "conv4", "conv5", "fc6", "fc8"]
    assert sorted(inputs) == ["conv4", "conv5", "fc6", "fc7", "fc8"]


def counted(called: list[tuple[str, str]], key: tuple[str, str], compute: Callable[..., Any], *arguments: Any) -> Any:
    called.append(key)
    return compute(*arguments)
