"""The net of the paper, and the parts that other nets share with it."""

from torch import nn

from alexnet.models.network import Layers, Switches


def layers(classes: int, switches: Switches) -> Layers:
    """The net of the paper, its two towers as two groups: 60,965,224 parameters with 1,000 classes.

    At 227 the first layer needs no padding. At 224 the three missing pixels on the right and the bottom read as zero, as in
    the authors' code; 55 x 55 maps either way. Source: Krizhevsky, Sutskever, Hinton (2012), section 3.5 and figure 2.
    """
    missing = 227 - switches.crop_size  # legal sizes are in alexnet.config.nets
    return eight_layers(classes, switches, pad=[("pad", nn.ZeroPad2d((0, missing, 0, missing)))] if missing else [])


def eight_layers(classes: int, switches: Switches, pad: Layers) -> Layers:
    """The paper's layers behind the padding ``pad``."""
    features: Layers = [
        *pad,
        ("conv1", nn.Conv2d(3, 96, 11, stride=4)),
        *switches.act(1),
        *switches.norm(1),
        *switches.max_pool(1),
        ("conv2", nn.Conv2d(96, 256, 5, padding=2, groups=switches.groups)),
        *switches.act(2),
        *switches.norm(2),
        *switches.max_pool(2),
        ("conv3", nn.Conv2d(256, 384, 3, padding=1)),
        *switches.act(3),
        ("conv4", nn.Conv2d(384, 384, 3, padding=1, groups=switches.groups)),
        *switches.act(4),
        ("conv5", nn.Conv2d(384, 256, 3, padding=1, groups=switches.groups)),
        *switches.act(5),
        *switches.max_pool(5),
        ("flatten", nn.Flatten()),
    ]
    return [*features, *head(switches.output_size(features), 4096, classes, switches)]


def head(inputs: int, units: int, classes: int, switches: Switches) -> Layers:
    """The paper's fully connected layers, of ``units`` each."""
    return [
        ("fc6", nn.Linear(inputs, units)),
        *switches.act(6),
        *switches.drop(6),
        ("fc7", nn.Linear(units, units)),
        *switches.act(7),
        *switches.drop(7),
        ("fc8", nn.Linear(units, classes)),
    ]
