"""The net of the paper, and its eight layers, which other nets share."""

from torch import nn

from alexnet.models.network import Layers, Switches


def layers(classes: int, switches: Switches) -> Layers:
    """The net of the paper, its two towers as two groups: 60,965,224 parameters with 1,000 classes.

    At 227 the first layer needs no padding. At 224 the three missing pixels on the right and the bottom read as zero, as in
    the authors' code; 55 x 55 maps either way. Source: Krizhevsky, Sutskever, Hinton (2012), section 3.5 and figure 2.
    """
    return eight_layers(classes, switches, first_layer(switches))


def first_layer(switches: Switches) -> Layers:
    """conv1, with the padding of its input."""
    missing = 227 - switches.crop_size  # legal sizes are in alexnet.config.nets
    pad: Layers = [("pad", nn.ZeroPad2d((0, missing, 0, missing)))] if missing else []
    return [*pad, ("conv1", nn.Conv2d(3, 96, 11, stride=4))]


def eight_layers(
    classes: int,
    switches: Switches,
    first: Layers,
    maps: tuple[int, int, int, int, int] = (96, 256, 384, 384, 256),
    units: int = 4096,
    conv3_groups: int = 1,
) -> Layers:
    """The paper's layers behind the convolution ``first``: ``maps`` of the convolutions, ``units`` of fc6 and fc7."""
    features: Layers = [
        *first,
        *switches.act(1),
        *switches.norm(1),
        *switches.pooling(1),
        ("conv2", nn.Conv2d(maps[0], maps[1], 5, padding=2, groups=switches.groups)),
        *switches.act(2),
        *switches.norm(2),
        *switches.pooling(2),
        ("conv3", nn.Conv2d(maps[1], maps[2], 3, padding=1, groups=conv3_groups)),
        *switches.act(3),
        ("conv4", nn.Conv2d(maps[2], maps[3], 3, padding=1, groups=switches.groups)),
        *switches.act(4),
        ("conv5", nn.Conv2d(maps[3], maps[4], 3, padding=1, groups=switches.groups)),
        *switches.act(5),
        *switches.pooling(5),
        ("flatten", nn.Flatten()),
    ]
    return [
        *features,
        ("fc6", nn.Linear(switches.output_size(features), units)),
        *switches.act(6),
        *switches.drop(6),
        ("fc7", nn.Linear(units, units)),
        *switches.act(7),
        *switches.drop(7),
        ("fc8", nn.Linear(units, classes)),
    ]
