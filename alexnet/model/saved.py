"""A trained model on disk: safetensors with the whole net's weights and the mean image, and its card beside it."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from alexnet.errors import UserError
from alexnet.files import sha256_of, write_bytes, write_json
from alexnet.model.card import Card
from alexnet.model.network import NETS, Network


def save_model(path: Path, card_path: Path, weights: dict[str, Tensor], mean: Tensor, card: dict[str, Any]) -> Card:
    """Write the weights, the mean image (3, size, size) and the card, to which the file's hash and the count are added."""
    write_bytes(path, save({**weights, "mean": mean.contiguous()}))
    count = sum(weight.numel() for weight in weights.values())
    whole = Card(**card, parameters=count, sha256=sha256_of(path))
    write_json(card_path, whole.model_dump())
    return whole


def load_model(path: Path, card: Card) -> tuple[Network, Tensor]:
    """The net with its trained weights, in test mode on the CPU, and the mean image (3, size, size).

    Raises ``UserError`` where the file is missing, is not the card's, or does not hold the net's tensors.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing; run `dvc repro` to train it, or name a model with --model")
    if sha256_of(path) != card.sha256:
        raise UserError(f"{path} is not the file that its card describes; put back the pair that a training wrote")
    try:
        tensors = load_file(path)
        mean = tensors.pop("mean")
        net = NETS[card.net](len(card.classes), card.crop_size)
        net.load_state_dict(tensors)
    except (SafetensorError, KeyError, RuntimeError) as error:
        why = str(error).splitlines()[0]
        raise UserError(f"{path} does not hold the net of its card ({why}); train again to write both") from None
    return net.eval().to(memory_format=torch.channels_last), mean
