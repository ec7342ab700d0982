"""A trained model on disk: safetensors with the weights of the whole net and the mean image."""

import re
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile, ZipFile, is_zipfile

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save
from torch import Tensor

from alexnet.config.nets import NETS
from alexnet.errors import UserError
from alexnet.files.card import Card
from alexnet.files.whole import sha256_of, write_bytes
from alexnet.models.build import build
from alexnet.models.network import Network, Switches
from alexnet.names import brief

UNREADABLE = (
    SafetensorError,
    UnpicklingError,
    BadZipFile,
    EOFError,
    RuntimeError,
    LookupError,
    AttributeError,
    TypeError,
    ValueError,
)
"""What the readers of weights raise for a file that is damaged or made to mislead."""


def save_weights(path: Path, weights: dict[str, Tensor], mean: Tensor) -> str:
    """Write the weights and the mean image, (3, size, size). Returns the file's SHA-256."""
    write_bytes(path, save({**weights, "mean": mean.contiguous()}))
    return sha256_of(path)


def load_model(path: Path, card: Card) -> tuple[Network, Tensor]:
    """The net with its trained weights, in evaluation mode on the CPU, and the mean image (3, size, size).

    Raises ``UserError`` if the file is missing, is not the card's, or does not hold the net's tensors.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing; run `dvc repro` to train it, or choose a model with --model")
    if sha256_of(path) != card.sha256:
        raise UserError(f"{path} is not the file that its card describes; restore the pair that a training wrote")
    try:
        tensors = finite(_load(path))
        mean = tensors.pop("mean")
        _compare(card, mean)
        net = build(card.net, len(card.classes), Switches.of(card.settings))
        net.load_state_dict(tensors, assign=True)
    except (SafetensorError, LookupError, RuntimeError, ValueError, TypeError, AttributeError, AssertionError) as error:
        why = brief(" ".join(str(error).split()))
        raise UserError(f"{path} does not hold the net of its card ({why}); train again to write both") from None
    return net.eval().to(memory_format=torch.channels_last), mean


TORCHVISION = {
    "features.0": "conv1",
    "features.3": "conv2",
    "features.6": "conv3",
    "features.8": "conv4",
    "features.10": "conv5",
    "classifier.1": "fc6",
    "classifier.4": "fc7",
    "classifier.6": "fc8",
}
"""torchvision's names of the layers of its ``alexnet``, and ours."""


def start_from(path: Path, net: Network, classes: Sequence[str]) -> str:
    """Give ``net``, in place, the weights of a trained model; its last layer only if that tells the same classes apart.

    ``path``: a model of ours (``.safetensors``), whose card beside it says which classes, or torchvision's published weights of
    ``alexnet`` (``.pth``) for ``alexnet-owt``. Without a card, as many classes are the same classes. Returns the file's SHA-256,
    with ``, new LAYER`` if the last layer is not taken. Raises ``UserError`` if it is missing, damaged or of another net.
    """
    tensors, sha256 = read_weights(path, "init_from"), sha256_of(path)
    last = net.weighted[-1]
    wanted = dict(net.named_parameters())
    other_count = f"{last}.weight" in tensors and len(tensors[f"{last}.weight"]) != len(wanted[f"{last}.weight"])
    new_last = other_count or _classes_of(path, sha256) not in (None, list(classes))
    taken = [name for name in wanted if not (new_last and name.startswith(f"{last}."))]
    for name in taken:
        found = tuple(tensors[name].shape) if name in tensors else "missing"
        if found != tuple(wanted[name].shape):
            raise UserError(f"init_from: {path} is of another net: its {name} is {found}, not {tuple(wanted[name].shape)}")
    unknown = sorted(tensors.keys() - wanted.keys())
    if unknown:
        raise UserError(f"init_from: {path} is of another net: it has {unknown[0]}, which the net of `model` lacks")
    net.load_state_dict({name: tensors[name] for name in taken}, strict=False)
    return f"{sha256}, new {last}" if new_last else sha256


def _classes_of(path: Path, sha256: str) -> list[str] | None:
    """By the card of a model, if it is beside it."""
    card = path.with_suffix(".json")
    if not card.is_file():
        return None
    found = Card.read(card, "remove it, or bring back the one that was written with the model")
    return found.classes if found.sha256 == sha256 else None


def read_weights(path: Path, setting: str) -> dict[str, Tensor]:
    """The tensors of a model of ours, or of torchvision's published weights, by our names, on the CPU.

    Raises ``UserError``, which names ``setting``, if the file cannot be read or holds neither.
    """
    try:
        if path.suffix == ".safetensors":
            tensors = _load(path)
            tensors.pop("mean", None)
            return finite(tensors)
        _refuse_packed(path)
        published = torch.load(path, map_location="cpu", weights_only=True)
        layers = (name.rpartition(".") for name in published)
        return finite({f"{TORCHVISION[layer]}.{kind}": published[f"{layer}.{kind}"] for layer, _, kind in layers})
    except OSError as error:
        raise UserError(f"{setting}: {path} cannot be read ({error.strerror or error}); set it to a model's file") from None
    except UNREADABLE as error:
        why = re.sub(r"\x1b\[[\d;]*m", "", str(error) or "it is empty").splitlines()[0][:100]  # torch colours its messages
        raise UserError(
            f"{setting}: {path} holds no known weights ({why}); use a .safetensors file of this project, or torchvision's "
            "weights of alexnet for alexnet-owt"
        ) from None


def finite(tensors: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors. Raises ``ValueError`` if one is no float32, has no value of its own for each element, or is not finite."""
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor) or tensor.dtype != torch.float32 or tensor.layout != torch.strided or not tensor.ndim:
            raise ValueError(f"{name} is no tensor of float32")
        # A stride of zero makes a tensor of any size from a few bytes.
        if not 0 < 4 * tensor.numel() <= tensor.untyped_storage().nbytes() or tensor.device.type != "cpu":
            raise ValueError(f"{name} is not as large as its shape says")
        if not all(extreme.isfinite() for extreme in tensor.aminmax()):
            raise ValueError(f"{name} is not finite")
    return tensors


def _compare(card: Card, mean: Tensor) -> None:
    if card.net not in NETS:
        raise ValueError(f"there is no net {card.net}")
    if card.crop_size not in NETS[card.net].crops or card.crop_size != card.settings["crop_size"]:
        raise ValueError(f"{card.net} takes no crops of {card.crop_size} pixels")
    if card.crop_size > card.size + 2 * card.crop_padding:
        raise ValueError("its crops are larger than its images")
    if tuple(mean.shape) != (3, card.size, card.size):
        raise ValueError(f"mean is {tuple(mean.shape)}, not {(3, card.size, card.size)}")


def _refuse_packed(path: Path) -> None:
    # torch stores tensors as they are; a few packed bytes could fill the memory.
    if is_zipfile(path):
        with ZipFile(path) as archive:
            if any(member.file_size > member.compress_size for member in archive.infolist()):
                raise ValueError("it is compressed")


def _load(path: Path) -> dict[str, Tensor]:
    try:
        str(path).encode()
    except UnicodeEncodeError:  # safetensors opens no file whose name is not UTF-8
        return dict(load(path.read_bytes()))
    return dict(load_file(path))
