"""What the report says of a net and its training: names, departures from the paper, what the training does to its images."""

from dataclasses import dataclass

from alexnet.model.card import Card


@dataclass(frozen=True)
class Net:
    """A net in the report's words."""

    title: str
    what: str
    """The beginning of a sentence."""


NETS = {
    "alexnet": Net("AlexNet", "The net of Krizhevsky, Sutskever and Hinton (2012)"),
    "alexnet-one-tower": Net("One-tower AlexNet", "The net of Krizhevsky, Sutskever and Hinton (2012), all of it in one tower"),
    "alexnet-simplified": Net(
        "Simplified AlexNet", "The net of Krizhevsky, Sutskever and Hinton (2012) in one tower, its first maps of 54×54"
    ),
    "alexnet-owt": Net(
        "torchvision's AlexNet", "The net that torchvision has as alexnet, one tower of Krizhevsky's “One weird trick” (2014)"
    ),
    "alexnet-32": Net(
        "AlexNet-32",
        "The net of Krizhevsky, Sutskever and Hinton (2012) for small images, its layers narrower and its kernels smaller",
    ),
    "cifar-four-layer": Net(
        "Four-layer net",
        "A small net of Krizhevsky, Sutskever and Hinton's kind for CIFAR-10: three convolutions and a fully connected layer",
    ),
}
SOURCES = {"cifar10": "CIFAR-10", "imagenette": "Imagenette", "imagenet": "ImageNet", "folder": "one's own images"}
DEPARTURES = {
    ("activation", "tanh"): "tanh units",
    ("activation", "sigmoid"): "sigmoid units",
    ("pool", "plain"): "pooling windows that do not overlap",
    ("lrn", "off"): "no local response normalisation",
    ("towers", 1): "no groups",
    ("dropout", "off"): "no dropout",
}
"""Settings that make another net than the paper's."""


def net_of(card: Card) -> Net:
    """The net's words; a net that has none goes by its name."""
    return NETS.get(card.net, Net(card.net, f"The net {card.net}"))


def source_of(card: Card) -> str:
    """The images' source in words."""
    source: str = card.data["source"]
    return SOURCES.get(source, source)


def departures(card: Card) -> str:
    """How the net departs from the paper's by its switches; empty where it does not."""
    return listed([words for (name, value), words in DEPARTURES.items() if card.settings[name] == value])


def disturbances(card: Card) -> str:
    """What makes the training's images and activations harder than the test's; empty where nothing does."""
    shaken = {
        "dropout": card.settings["dropout"] not in (None, "off"),
        "random crops": margin(card) > 0,
        "reflections": card.flip,
        "colour noise": card.settings["color_noise"] > 0,
    }
    return listed([words for words, holds in shaken.items() if holds])


def margin(card: Card) -> int:
    """Pixels by which a padded image is larger than a crop."""
    return card.size + 2 * card.crop_padding - card.crop_size


def listed(words: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
