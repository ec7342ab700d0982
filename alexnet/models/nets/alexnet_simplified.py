"""The paper's net in one tower, without padding in the first layer."""

from torch import nn

from alexnet.models.nets.alexnet import eight_layers
from alexnet.models.network import Layers, Switches


def layers(classes: int, switches: Switches) -> Layers:
    """One tower, and no padding in the first layer: 54 x 54 maps of a 224 crop; 46,787,978 parameters with 10 classes."""
    return eight_layers(classes, switches, [("conv1", nn.Conv2d(3, 96, 11, stride=4))])
