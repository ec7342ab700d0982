"""AlexNet for images of 32x32 pixels."""

from torch import nn

from alexnet.models.nets.alexnet import eight_layers
from alexnet.models.network import Layers, Switches


def layers(classes: int, switches: Switches) -> Layers:
    """AlexNet for 32 x 32 images as they are: the same eight layers and two towers, half the maps, kernels of 5 and 3 pixels.

    The first layer keeps the side of the image, three poolings bring a 28 crop to 2 x 2 and a 32 crop to 3 x 3.
    """
    first: Layers = [("conv1", nn.Conv2d(3, 48, 5, padding=2))]
    return eight_layers(classes, switches, first, maps=(48, 128, 192, 192, 128), units=1024)
