"""The optimiser of the paper."""

from collections.abc import Iterable

import torch
from torch import nn


def paper_sgd(parameters: Iterable[nn.Parameter], lr: float, momentum: float, weight_decay: float) -> torch.optim.SGD:
    """Momentum SGD (paper, section 5): v <- momentum v - decay lr w - lr g; w <- w + v. Decay acts on biases too.

    torch keeps b = -v / lr, and its step is the same while the rate stays; ``set_rate`` carries the velocity over a change.
    """
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=True)


def set_rate(optimizer: torch.optim.SGD, lr: float) -> None:
    """Change the learning rate and leave the velocity v as it is, which b = -v / lr alone would not."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            buffer = optimizer.state[parameter].get("momentum_buffer")
            if buffer is not None and group["lr"] != lr:
                buffer.mul_(group["lr"] / lr)
        group["lr"] = lr


OPTIMIZERS = {"sgd": paper_sgd}
