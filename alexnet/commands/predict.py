"""Print the most probable classes of images."""

import argparse
from pathlib import Path

from alexnet.errors import UserError
from alexnet.home import expanded
from alexnet.names import printable
from alexnet.output import complain, say

EXAMPLE = "python -m alexnet predict ~/photos/some.jpg --ten-crop"
MODEL = Path("models/alexnet.safetensors")
"""The model that the workspace's training wrote."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    parser.add_argument("--model", type=Path, default=MODEL, help="default: %(default)s; its card lies beside it")
    parser.add_argument("--ten-crop", action="store_true", help="average over ten crops instead of the centre crop")


def run(arguments: argparse.Namespace) -> int:
    """Print the predictions."""
    return print_predictions(arguments.images, arguments.model, arguments.ten_crop)


def print_predictions(images: list[Path], model: Path, ten_crop: bool) -> int:
    """Print the likeliest classes of each image, one line for each that cannot be read; returns 2 if there was one, else 0.

    Raises ``UserError`` if there is no model.
    """
    # Imported here, as torch takes seconds.
    import torch

    from alexnet.evaluate.predictions import probabilities
    from alexnet.files.card import Card
    from alexnet.input.augment import Normalization, apply, center_views
    from alexnet.models.numerics import prepare_process
    from alexnet.models.saved import load_model
    from alexnet.prepare.pixels import BadImage, canonical

    model = expanded(str(model), "--model")
    ours = model.resolve() == MODEL.resolve()
    if not model.is_file():
        train = "run `dvc repro` to train it, or " if ours else ""
        raise UserError(f"{model} is missing; {train}choose a model with --model")
    # `dvc repro` makes no card for a copied model.
    copied = f"the card of {model.name} belongs there: copy the {MODEL.with_suffix('.json')} that the same training wrote"
    card = Card.read(model.with_suffix(".json"), "" if ours else copied)
    prepare_process(card.settings["threads"])
    net, mean = load_model(model, card)
    normalization = Normalization.of(mean, card.scale, padding=0, device=mean.device)
    status = 0
    for path in images:
        try:
            pixels = torch.tensor(canonical(path.read_bytes(), card.size))[None]
        except (OSError, BadImage) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            complain(f"error: {printable(path)} cannot be read as an image ({reason}); choose another file")
            status = 2
            continue
        found = probabilities(net, apply(pixels, center_views(1, 0), normalization), card)
        likely, labels = (found.ten_crop if ten_crop else found.center)[0].topk(min(5, len(card.classes)))
        say(printable(path))
        for probability, label in zip(likely.tolist(), labels.tolist(), strict=True):
            say(f"  {probability:6.1%}  {printable(card.classes[label])}")
    return status
