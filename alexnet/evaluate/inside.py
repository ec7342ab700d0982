"""Inside the net: what each layer costs and passes on, and the maps of one image."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor

from alexnet.evaluate.evaluation import Runner
from alexnet.evaluate.features import centre
from alexnet.files.whole import write_bytes, write_json
from alexnet.input.shards import Shards
from alexnet.models.costs import cost
from alexnet.models.layers import ACTIVATIONS
from alexnet.models.network import WEIGHTED, Network


@torch.no_grad()
def look_inside(net: Network, image: Tensor) -> tuple[list[dict[str, Any]], dict[str, NDArray[np.float32]]]:
    """Pass an image, (1, 3, crop_size, crop_size) centred and scaled, through ``net``, layer by layer.

    Returns the layers with weights, each with ``name``, ``parameters``, ``macs`` (see ``alexnet.models.costs``),
    ``input_values``, the numbers that cross a pipeline's cut before it, and ``output``, the shape of what comes out; and by
    layer with weights that has maps, these (maps, height, width) behind the activation.
    """
    net.eval()
    layers, maps, values, with_maps = [], {}, image, ""
    for name, layer in net.named_children():
        entering, values = values.numel(), Network([(name, layer)])(values)
        if isinstance(layer, WEIGHTED):
            row = {"name": name, **asdict(cost(layer, values)), "input_values": entering}
            layers.append(row | {"output": list(values.shape[1:])})
            with_maps = name if values.ndim == 4 else ""
        elif with_maps and isinstance(layer, tuple(ACTIVATIONS.values())):
            maps[with_maps] = values[0].cpu().contiguous().numpy()
    return layers, maps


def write_inside(folder: Path, net: Network, shards: Shards, runner: Runner) -> None:
    """Write ``layers.json`` and ``maps.safetensors``, of the first image of ``shards``, into ``folder``."""
    net, card = net.to(runner.device), runner.card
    passed = runner.run(lambda images: look_inside(net, centre(images[:1], card)), shards, np.arange(1))
    _, (layers, maps) = next(passed)
    write_json(folder / "layers.json", layers)
    write_bytes(folder / "maps.safetensors", save(maps))
