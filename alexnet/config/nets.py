"""The registry of nets. A net is a row here, a recipe, and a file, ``alexnet/models/nets/NAME.py``, that lists its layers."""

from dataclasses import dataclass

SWITCHES = ("activation", "pool", "lrn", "lrn_scope", "towers", "dropout")
"""Settings by which a net may vary; null if a net does not have one."""


@dataclass(frozen=True)
class NetSpec:
    """What the check of the settings, the report and the documents know of a net."""

    title: str
    """Its name in a sentence."""
    description: str
    """What it is: the beginning of a sentence."""
    crops: tuple[int, ...]
    """Legal ``crop_size``, in pixels."""
    cuts: tuple[str, ...]
    """Layers before which the pipeline may cut."""
    switches: tuple[str, ...]
    """The switches that it has."""
    recipe: str | None
    """The recipe that sets everything it needs; None if params.yaml does as shipped."""
    parameters: int
    """With ``classes`` classes, and its recipe's settings."""
    classes: int = 1000
    layers: tuple[str, ...] = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
    """Those with weights, in order."""


BETWEEN_TOWERS = ("conv3", "fc6", "fc7", "fc8")
"""The layers that read the maps of both of the paper's GPUs."""
ONE_TOWER = ("activation", "pool", "lrn", "dropout")

# fmt: off
NETS = {
    "alexnet": NetSpec(
        "AlexNet", "The net of Krizhevsky, Sutskever and Hinton (2012)",
        crops=(227, 224), cuts=BETWEEN_TOWERS, switches=SWITCHES, recipe=None, parameters=60_965_224,
    ),
    "alexnet-grouped": NetSpec(
        "AlexNet with conv3 in groups", "The net of Krizhevsky, Sutskever and Hinton (2012), but with groups in conv3 too",
        crops=(227, 224), cuts=BETWEEN_TOWERS, switches=SWITCHES, recipe="tensorflow-v100", parameters=60_522_856,
    ),
    "alexnet-simplified": NetSpec(
        "Simplified AlexNet", "The net of Krizhevsky, Sutskever and Hinton (2012) in one tower, its first maps of 54×54",
        crops=(224,), cuts=BETWEEN_TOWERS, switches=ONE_TOWER, recipe="tensorflow-46m", parameters=46_787_978, classes=10,
    ),
    "alexnet-owt": NetSpec(
        "torchvision's AlexNet", "The net that torchvision has as alexnet, one tower of Krizhevsky's “One weird trick” (2014)",
        crops=(224,), cuts=BETWEEN_TOWERS, switches=("activation", "dropout"), recipe="torchvision", parameters=61_100_840,
    ),
    "alexnet-32": NetSpec(
        "AlexNet-32",
        "The net of Krizhevsky, Sutskever and Hinton (2012) for small images, its layers narrower and its kernels smaller",
        crops=(28, 32), cuts=BETWEEN_TOWERS, switches=SWITCHES, recipe="cifar10-32", parameters=2_163_914, classes=10,
    ),
    "cifar-four-layer": NetSpec(
        "Four-layer net",
        "A small net of Krizhevsky, Sutskever and Hinton's kind for CIFAR-10: three convolutions and a fully connected layer",
        crops=(32, 28, 24), cuts=("conv2", "conv3", "fc4"), switches=("activation", "pool", "lrn"), recipe="cifar-four-layer",
        parameters=89_578, classes=10, layers=("conv1", "conv2", "conv3", "fc4"),
    ),
    "cifar-conv-local": NetSpec(
        "Locally connected net",
        "A small net of Krizhevsky, Sutskever and Hinton's for CIFAR-10: two convolutions, two locally connected layers and a "
        "fully connected layer",
        crops=(24,), cuts=("conv2", "local3", "local4", "fc5"), switches=("activation", "pool", "lrn"), recipe="cifar-conv-local",
        parameters=1_116_490, classes=10, layers=("conv1", "conv2", "local3", "local4", "fc5"),
    ),
}
# fmt: on
