"""What the settings' check must know of each net: where it may be cut, which crops and switches it has."""

from dataclasses import dataclass

SWITCHES = ("activation", "pool", "lrn", "lrn_scope", "towers", "dropout")
"""Settings of the net's own; null where a net lacks one."""


@dataclass(frozen=True)
class Net:
    """A net as the settings see it; ``alexnet.model.nets`` builds it."""

    crops: tuple[int, ...]
    """Legal ``crop_size``, in pixels."""
    cuts: tuple[str, ...]
    """Layers before which the pipeline may cut."""
    switches: tuple[str, ...]
    """The switches that it has."""
    recipe: str | None
    """The recipe that sets all that it needs; None where params.yaml does as it is shipped."""


BETWEEN_TOWERS = ("conv3", "fc6", "fc7", "fc8")
"""The layers that read the maps of both of the paper's GPUs."""
ONE_TOWER = ("activation", "pool", "lrn", "dropout")

NETS = {
    "alexnet": Net((227, 224), BETWEEN_TOWERS, SWITCHES, recipe=None),
    "alexnet-one-tower": Net((227, 224), BETWEEN_TOWERS, ONE_TOWER, recipe="alexnet-one-tower"),
    "alexnet-simplified": Net((224,), BETWEEN_TOWERS, ONE_TOWER, recipe="simplified"),
    "alexnet-owt": Net((224,), BETWEEN_TOWERS, ("activation", "dropout"), recipe="torchvision"),
    "alexnet-32": Net((28, 32), BETWEEN_TOWERS, SWITCHES, recipe="cifar10-32"),
    "cifar-four-layer": Net((32, 28, 24), ("conv2", "conv3", "fc4"), ("activation", "pool", "lrn"), recipe="cifar-four-layer"),
}
