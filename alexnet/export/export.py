"""The export: convert, compare with the net on photographs, and only then write."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor

from alexnet.errors import UserError
from alexnet.evaluate.crops import views
from alexnet.export import formats
from alexnet.export.preparation import Prepared, metadata
from alexnet.files.whole import whole_file
from alexnet.inference.model import Model
from alexnet.input.augment import apply, center_views
from alexnet.prepare.pixels import square

TOLERANCE = 1e-4
"""The largest allowed difference from the net's outputs, relative to the largest output if that is above 1."""


def export(model: Model, path: Path, to: str, prepared: bool = False) -> float:
    """Write the net to ``path`` in the format ``to``; ``prepared``: from uint8 squares to probabilities.

    Returns the largest difference from the net's own outputs on scikit-learn's two photographs. Raises ``UserError`` if the
    format cannot hold the net, the outputs differ, or the file cannot be written; it then does not appear.
    """
    if not path.parent.is_dir():
        raise UserError(f"the folder {path.parent} is missing; create it, or choose another place with -o")
    if path.is_dir():
        raise UserError(f"{path} is a folder; choose a file with -o")
    if to == "torchvision" and prepared:
        raise UserError("--with-preparation is for onnx and pt2: torchvision's format holds weights only")
    try:
        with whole_file(path) as file:  # opened first, so that a place that is read-only costs no conversion
            content, difference = _checked(model, to, prepared)
            file.write(content)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror or error}); choose another place with -o") from None
    return difference


@torch.no_grad()
def _checked(model: Model, to: str, prepared: bool) -> tuple[bytes, float]:
    """The file's content, and how far its outputs are from the net's."""
    net, card = model.net.cpu(), model.card
    mean = model.normalization.mean.cpu().permute(2, 0, 1).contiguous()
    pixels, inputs = photographs(model)
    expected: Tensor = net(inputs)
    if to == "torchvision":
        content, run = formats.torchvision(net, len(card.classes))
    else:
        known = metadata(card, mean, inside=prepared)
        plain = formats.Graph(net, inputs, "images", "logits", known)
        whole = formats.Graph(Prepared(net, mean, card).eval(), pixels, "pixels", "probabilities", known)
        content, run = {"onnx": formats.onnx, "pt2": formats.pt2}[to](whole if prepared else plain)
    if prepared:
        inputs, expected = pixels, expected.softmax(1)
    # In one batch and one by one: the number of images must be free.
    outputs = [run(inputs), torch.cat([run(image[None]) for image in inputs])]
    difference = max(float((output - expected).abs().max()) for output in outputs)
    allowed = TOLERANCE * max(1.0, float(expected.abs().max()))
    if not difference <= allowed:
        raise UserError(f"--to {to}: its outputs differ from the net's by {difference:.1e}, more than {allowed:.1e}; not written")
    return content, difference


def photographs(model: Model) -> tuple[Tensor, Tensor]:
    """scikit-learn's photographs as squares, uint8 (2, size, size, 3), and as the net's inputs, the centre crop of each."""
    card, normalization = model.card, model.normalization
    images = load_sample_images().images
    pixels = torch.from_numpy(np.stack([square(Image.fromarray(photograph), card.size) for photograph in images]))
    centered = apply(pixels.to(normalization.mean.device), center_views(len(pixels), 0), normalization).cpu()
    padded = torch.nn.functional.pad(centered, 4 * [card.crop_padding])
    return pixels, next(views(padded, card.crop_size, flip=False)).contiguous()
