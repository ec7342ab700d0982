"""The authors' small net for CIFAR-10."""

from torch import nn

from alexnet.models.network import Layers, Switches


def layers(classes: int, switches: Switches) -> Layers:
    """The authors' small net for CIFAR-10, of the kind of the paper's figure 1: three convolutions and a layer on top.

    Geometry of cuda-convnet's ``layers-18pct.cfg``: max pooling first, then averages, windows that may stick out on the right
    and the bottom. The normalisation is the paper's, over neighbouring maps; the first two layers of that file have another.
    """
    features: Layers = [
        ("conv1", nn.Conv2d(3, 32, 5, padding=2)),
        *switches.pooling(1, sticks_out=True),
        *switches.act(1),
        *switches.norm(1),
        ("conv2", nn.Conv2d(32, 32, 5, padding=2)),
        *switches.act(2),
        *switches.pooling(2, nn.AvgPool2d, sticks_out=True),
        *switches.norm(2),
        ("conv3", nn.Conv2d(32, 64, 5, padding=2)),
        *switches.act(3),
        *switches.pooling(3, nn.AvgPool2d, sticks_out=True),
        ("flatten", nn.Flatten()),
    ]
    return [*features, ("fc4", nn.Linear(switches.output_size(features), classes))]
