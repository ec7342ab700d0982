"""The nets, each a flat list of its layers. Initial weights, decay and crops are settings and not the nets'."""

import torch
from torch import nn

from alexnet.model.network import Layers, Network, Switches
from alexnet.model.weighted import Conv2d, Linear


def alexnet(classes: int, switch: Switches) -> Layers:
    """The net of the paper, its two towers as two groups: 60,965,224 parameters with 1,000 classes.

    At 227 the first layer needs no padding. At 224 the three missing pixels on the right and the bottom read as zero, as in
    the authors' code; 55 x 55 maps either way. Source: Krizhevsky, Sutskever, Hinton (2012), section 3.5 and figure 2.
    """
    missing = 227 - switch.crop_size
    return eight_layers(classes, switch, pad=[("pad", nn.ZeroPad2d((0, missing, 0, missing)))] if missing else [])


def simplified(classes: int, switch: Switches) -> Layers:
    """One tower, and no padding in the first layer: 54 x 54 maps of a 224 crop; 46,787,978 parameters with 10 classes."""
    return eight_layers(classes, switch, pad=[])


def eight_layers(classes: int, switch: Switches, pad: Layers) -> Layers:
    """The paper's layers behind the padding ``pad``."""
    features: Layers = [
        *pad,
        ("conv1", Conv2d(3, 96, 11, stride=4)),
        *switch.act(1),
        *switch.norm(1),
        *switch.max_pool(1),
        ("conv2", Conv2d(96, 256, 5, padding=2, groups=switch.groups)),
        *switch.act(2),
        *switch.norm(2),
        *switch.max_pool(2),
        ("conv3", Conv2d(256, 384, 3, padding=1)),
        *switch.act(3),
        ("conv4", Conv2d(384, 384, 3, padding=1, groups=switch.groups)),
        *switch.act(4),
        ("conv5", Conv2d(384, 256, 3, padding=1, groups=switch.groups)),
        *switch.act(5),
        *switch.max_pool(5),
        ("flatten", nn.Flatten()),
    ]
    return [*features, *head(switch.values(features), 4096, classes, switch)]


def one_weird_trick(classes: int, switch: Switches) -> Layers:
    """torchvision's ``alexnet``: 61,100,840 parameters with 1,000 classes, dropout before fc6 and fc7.

    torchvision's average pooling to 6 x 6 is left out, as 224 crops have 6 x 6 maps there. Source: Krizhevsky, "One weird
    trick for parallelizing convolutional neural networks" (2014), one tower of it.
    """
    return [
        ("conv1", Conv2d(3, 64, 11, stride=4, padding=2)),
        *switch.act(1),
        ("pool1", nn.MaxPool2d(3, stride=2)),
        ("conv2", Conv2d(64, 192, 5, padding=2)),
        *switch.act(2),
        ("pool2", nn.MaxPool2d(3, stride=2)),
        ("conv3", Conv2d(192, 384, 3, padding=1)),
        *switch.act(3),
        ("conv4", Conv2d(384, 256, 3, padding=1)),
        *switch.act(4),
        ("conv5", Conv2d(256, 256, 3, padding=1)),
        *switch.act(5),
        ("pool5", nn.MaxPool2d(3, stride=2)),
        ("flatten", nn.Flatten()),
        *switch.drop(6),
        ("fc6", Linear(256 * 6 * 6, 4096)),
        *switch.act(6),
        *switch.drop(7),
        ("fc7", Linear(4096, 4096)),
        *switch.act(7),
        ("fc8", Linear(4096, classes)),
    ]


def alexnet32(classes: int, switch: Switches) -> Layers:
    """AlexNet for 32 x 32 images as they are: the same eight layers and two towers, half the maps, kernels of 5 and 3 pixels.

    The first layer keeps the side of the image, three poolings bring a 28 crop to 2 x 2 and a 32 crop to 3 x 3.
    """
    features: Layers = [
        ("conv1", Conv2d(3, 48, 5, padding=2)),
        *switch.act(1),
        *switch.norm(1),
        *switch.max_pool(1),
        ("conv2", Conv2d(48, 128, 5, padding=2, groups=switch.groups)),
        *switch.act(2),
        *switch.norm(2),
        *switch.max_pool(2),
        ("conv3", Conv2d(128, 192, 3, padding=1)),
        *switch.act(3),
        ("conv4", Conv2d(192, 192, 3, padding=1, groups=switch.groups)),
        *switch.act(4),
        ("conv5", Conv2d(192, 128, 3, padding=1, groups=switch.groups)),
        *switch.act(5),
        *switch.max_pool(5),
        ("flatten", nn.Flatten()),
    ]
    return [*features, *head(switch.values(features), 1024, classes, switch)]


def cifar_four_layer(classes: int, switch: Switches) -> Layers:
    """The authors' small net for CIFAR-10, of the kind of the paper's figure 1: three convolutions and a layer on top.

    Geometry of cuda-convnet's ``layers-18pct.cfg``: max pooling first, then averages, windows that may stick out on the right
    and the bottom. The normalisation is the paper's, over neighbouring maps; the first two layers of that file have another.
    """
    features: Layers = [
        ("conv1", Conv2d(3, 32, 5, padding=2)),
        *switch.max_pool(1, sticks_out=True),
        *switch.act(1),
        *switch.norm(1),
        ("conv2", Conv2d(32, 32, 5, padding=2)),
        *switch.act(2),
        *switch.average_pool(2),
        *switch.norm(2),
        ("conv3", Conv2d(32, 64, 5, padding=2)),
        *switch.act(3),
        *switch.average_pool(3),
        ("flatten", nn.Flatten()),
    ]
    return [*features, ("fc4", Linear(switch.values(features), classes))]


def head(inputs: int, units: int, classes: int, switch: Switches) -> Layers:
    """The paper's fully connected layers, of ``units`` each."""
    return [
        ("fc6", Linear(inputs, units)),
        *switch.act(6),
        *switch.drop(6),
        ("fc7", Linear(units, units)),
        *switch.act(7),
        *switch.drop(7),
        ("fc8", Linear(units, classes)),
    ]


NETS = {
    "alexnet": alexnet,
    "alexnet-one-tower": alexnet,
    "alexnet-simplified": simplified,
    "alexnet-owt": one_weird_trick,
    "alexnet-32": alexnet32,
    "cifar-four-layer": cifar_four_layer,
}


def build(net: str, classes: int, switch: Switches) -> Network:
    """The net of that name on the meta device: ``initialize``, or a file, gives it its weights."""
    with torch.device("meta"):
        return Network(NETS[net](classes, switch))
