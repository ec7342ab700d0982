"""The optimisers, and how the learning rate of a running one changes."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from alexnet.config.training import Training

Groups = list[dict[str, Any]]


class VelocitySGD(SGD):
    """The paper's momentum SGD (section 5): v <- momentum v - decay lr w - lr g; w <- w + v.

    torch keeps b = -v / lr, whose step is the same at a constant rate; ``set_rate`` keeps v when the rate changes.
    """


def sgd(groups: Groups, settings: Training) -> Optimizer:
    """The paper's, whose velocity includes the learning rate."""
    return VelocitySGD(groups, momentum=settings.momentum, fused=True)


def torch_sgd(groups: Groups, settings: Training) -> Optimizer:
    """torch's momentum SGD, with the rate outside the velocity: v <- momentum v + decay w + g; w <- w - lr v."""
    return SGD(groups, momentum=settings.momentum, fused=True)


def adam(groups: Groups, settings: Training) -> Optimizer:
    """Adam (Kingma, Ba 2015), ``momentum`` its beta1; decay is added to the gradient."""
    return Adam(groups, betas=(settings.momentum, 0.999), fused=True)


def adamw(groups: Groups, settings: Training) -> Optimizer:
    """AdamW (Loshchilov, Hutter 2019), ``momentum`` its beta1; decay acts on the weights, not the gradient."""
    return AdamW(groups, betas=(settings.momentum, 0.999), fused=True)


OPTIMIZERS: dict[str, Callable[[Groups, Training], Optimizer]] = {
    "sgd": sgd,
    "torch_sgd": torch_sgd,
    "adam": adam,
    "adamw": adamw,
}


def build_optimizer(parameters: Mapping[str, nn.Parameter], settings: Training) -> Optimizer:
    """The optimiser of named parameters but for frozen layers; biases and single layers may have their own rates and decays."""
    members: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        if name.rpartition(".")[0] not in settings.freeze:
            members.setdefault(rate_and_decay(name, settings), []).append(parameter)
    groups: Groups = [
        {"params": group, "rate": settings.lr, "lr": settings.lr * mult, "lr_mult": mult, "weight_decay": decay}
        for (mult, decay), group in members.items()
    ]
    # A rank whose layers are all frozen has nothing to update, but takes part in everything.
    return OPTIMIZERS[settings.optimizer](groups or [{"params": [], "rate": settings.lr, "lr_mult": 1.0}], settings)


def rate_and_decay(name: str, settings: Training) -> tuple[float, float]:
    """A parameter's learning rate as a multiple of ``lr``, and its weight decay."""
    layer, _, kind = name.rpartition(".")
    mult, decay = 1.0, settings.weight_decay
    if kind == "bias":
        mult, decay = settings.bias_lr_mult, decay if settings.bias_decay is None else settings.bias_decay
    return mult * (settings.lr_mult or {}).get(layer, 1), decay * (settings.decay_mult or {}).get(layer, 1)


@torch.no_grad()
def set_rate(optimizer: Optimizer, lr: float) -> None:
    """Change the learning rate. The paper's velocity v does not change, although torch's b = -v / lr does."""
    for group in optimizer.param_groups:
        new = lr * group["lr_mult"]
        if isinstance(optimizer, VelocitySGD) and new != group["lr"]:
            for parameter in group["params"]:
                buffer = optimizer.state[parameter].get("momentum_buffer")
                if buffer is not None:
                    buffer.mul_(group["lr"] / new)
        group["rate"], group["lr"] = lr, new


def rate_of(optimizer: Optimizer) -> float:
    """The learning rate as last set."""
    rate: float = optimizer.param_groups[0]["rate"]
    return rate


def restore_rate(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate to that of a saved state, whose velocity fits it."""
    for group in optimizer.param_groups:
        group["rate"], group["lr"] = lr, lr * group["lr_mult"]
