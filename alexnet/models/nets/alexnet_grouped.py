"""The paper's net, but with conv3 in groups too."""

from alexnet.models.nets.alexnet import eight_layers, first_layer
from alexnet.models.network import Layers, Switches


def layers(classes: int, switches: Switches) -> Layers:
    """The net of the paper, but its conv3 stays within its tower, with kernels of 3 x 3 x 128: the towers meet in fc6.

    60,522,856 parameters with 1,000 classes. A public re-implementation has it so.
    """
    return eight_layers(classes, switches, first_layer(switches), conv3_groups=switches.groups)
