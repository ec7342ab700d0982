"""The authors' net with locally connected layers for CIFAR-10."""

import math

from torch import nn

from alexnet.models.layers import LocalResponseNorm
from alexnet.models.local import LocallyConnected2d
from alexnet.models.network import Layers, Switches


def layers(classes: int, switches: Switches) -> Layers:
    """The net of the paper's footnote on CIFAR-10 (section 3.3): two convolutions, two locally connected layers, one on top.

    Geometry of cuda-convnet's ``layers-conv-local-13pct.cfg``, and with ``lrn: code`` of ``layers-conv-local-11pct.cfg``; 24
    crops have maps of 6 x 6 behind the second pooling, whose windows stick out on the right and the bottom.
    """
    convolutions: Layers = [
        ("conv1", nn.Conv2d(3, 64, 5, padding=2)),
        *switches.act(1),
        *switches.norm(1, code_norm()),
        *switches.pooling(1, sticks_out=True),
        ("conv2", nn.Conv2d(64, 64, 5, padding=2)),
        *switches.act(2),
        *switches.norm(2, code_norm()),
        *switches.pooling(2, sticks_out=True),
    ]
    side = math.isqrt(switches.output_size(convolutions) // 64)
    return [
        *convolutions,
        ("local3", LocallyConnected2d(64, 32, side=3, size=(side, side))),
        *switches.act(3),
        ("local4", LocallyConnected2d(32, 32, side=3, size=(side, side))),
        *switches.act(4),
        ("flatten", nn.Flatten()),
        ("fc5", nn.Linear(32 * side * side, classes)),
    ]


def code_norm() -> LocalResponseNorm:
    """That of ``layers-conv-local-11pct.cfg``."""
    return LocalResponseNorm(towers=1, alpha=0.001 / 5, k=1.0)
