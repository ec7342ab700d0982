"""The nets, each one flat sequence of named layers."""

from collections import OrderedDict

from torch import Tensor, nn

from alexnet.model.layers import Dropout, LocalResponseNorm


class Network(nn.Sequential):
    """A flat, named sequence of layers; a slice of it is a network too, with the same names.

    ``forward`` takes images (N, 3, size, size), mean subtracted, 0-255 scale (or what the first layer of a slice takes), and, in
    training, ``rows``: an int64 tensor (N,) with a number for each row that no other row of the training has, by which
    dropout draws. It gives logits (N, classes), or what the last layer of a slice gives.
    """

    def forward(self, input: Tensor, rows: Tensor | None = None) -> Tensor:
        for layer in self:
            input = layer(input, rows) if isinstance(layer, Dropout) else layer(input)
        return input


def alexnet(classes: int, crop_size: int = 227, seed: int = 0) -> Network:
    """The net of the paper, its two towers as two groups: 60,965,224 parameters with 1,000 classes.

    At 227 the first layer needs no padding. At 224 the three missing pixels on the right and the bottom read as zero, as in
    the authors' code; 55 x 55 maps either way. Source: Krizhevsky, Sutskever, Hinton (2012), section 3.5 and figure 2.
    """
    padding = 227 - crop_size
    layers: list[tuple[str, nn.Module]] = [("pad", nn.ZeroPad2d((0, padding, 0, padding)))] if padding else []
    layers += [
        ("conv1", nn.Conv2d(3, 96, 11, stride=4)),
        ("relu1", nn.ReLU()),
        ("lrn1", LocalResponseNorm(towers=2)),
        ("pool1", nn.MaxPool2d(3, stride=2)),
        ("conv2", nn.Conv2d(96, 256, 5, padding=2, groups=2)),
        ("relu2", nn.ReLU()),
        ("lrn2", LocalResponseNorm(towers=2)),
        ("pool2", nn.MaxPool2d(3, stride=2)),
        ("conv3", nn.Conv2d(256, 384, 3, padding=1)),
        ("relu3", nn.ReLU()),
        ("conv4", nn.Conv2d(384, 384, 3, padding=1, groups=2)),
        ("relu4", nn.ReLU()),
        ("conv5", nn.Conv2d(384, 256, 3, padding=1, groups=2)),
        ("relu5", nn.ReLU()),
        ("pool5", nn.MaxPool2d(3, stride=2)),
        ("flatten", nn.Flatten()),
        ("fc6", nn.Linear(256 * 6 * 6, 4096)),
        ("relu6", nn.ReLU()),
        ("drop6", Dropout(0.5, key=2 * seed)),
        ("fc7", nn.Linear(4096, 4096)),
        ("relu7", nn.ReLU()),
        ("drop7", Dropout(0.5, key=2 * seed + 1)),
        ("fc8", nn.Linear(4096, classes)),
    ]
    return Network(OrderedDict(layers))


NETS = {"alexnet": alexnet}
