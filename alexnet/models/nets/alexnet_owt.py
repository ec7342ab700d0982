"""torchvision's ``alexnet``, of "One weird trick"."""

from torch import nn

from alexnet.models.network import Layers, Switches


def layers(classes: int, switches: Switches) -> Layers:
    """torchvision's ``alexnet``: 61,100,840 parameters with 1,000 classes, dropout before fc6 and fc7.

    torchvision's average pooling to 6 x 6 is left out, as 224 crops have 6 x 6 maps there. Source: Krizhevsky, "One weird
    trick for parallelizing convolutional neural networks" (2014), one tower of it.
    """
    return [
        ("conv1", nn.Conv2d(3, 64, 11, stride=4, padding=2)),
        *switches.act(1),
        ("pool1", nn.MaxPool2d(3, stride=2)),
        ("conv2", nn.Conv2d(64, 192, 5, padding=2)),
        *switches.act(2),
        ("pool2", nn.MaxPool2d(3, stride=2)),
        ("conv3", nn.Conv2d(192, 384, 3, padding=1)),
        *switches.act(3),
        ("conv4", nn.Conv2d(384, 256, 3, padding=1)),
        *switches.act(4),
        ("conv5", nn.Conv2d(256, 256, 3, padding=1)),
        *switches.act(5),
        ("pool5", nn.MaxPool2d(3, stride=2)),
        ("flatten", nn.Flatten()),
        *switches.drop(6),
        ("fc6", nn.Linear(256 * 6 * 6, 4096)),
        *switches.act(6),
        *switches.drop(7),
        ("fc7", nn.Linear(4096, 4096)),
        *switches.act(7),
        ("fc8", nn.Linear(4096, classes)),
    ]
