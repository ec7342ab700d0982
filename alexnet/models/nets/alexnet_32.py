"""AlexNet for images of 32x32 pixels."""

from torch import nn

from alexnet.models.nets.alexnet import head
from alexnet.models.network import Layers, Switches


def layers(classes: int, switches: Switches) -> Layers:
    """AlexNet for 32 x 32 images as they are: the same eight layers and two towers, half the maps, kernels of 5 and 3 pixels.

    The first layer keeps the side of the image, three poolings bring a 28 crop to 2 x 2 and a 32 crop to 3 x 3.
    """
    features: Layers = [
        ("conv1", nn.Conv2d(3, 48, 5, padding=2)),
        *switches.act(1),
        *switches.norm(1),
        *switches.max_pool(1),
        ("conv2", nn.Conv2d(48, 128, 5, padding=2, groups=switches.groups)),
        *switches.act(2),
        *switches.norm(2),
        *switches.max_pool(2),
        ("conv3", nn.Conv2d(128, 192, 3, padding=1)),
        *switches.act(3),
        ("conv4", nn.Conv2d(192, 192, 3, padding=1, groups=switches.groups)),
        *switches.act(4),
        ("conv5", nn.Conv2d(192, 128, 3, padding=1, groups=switches.groups)),
        *switches.act(5),
        *switches.max_pool(5),
        ("flatten", nn.Flatten()),
    ]
    return [*features, *head(switches.output_size(features), 1024, classes, switches)]
