"""Print the training images whose last hidden layer is nearest to that of an image (the paper's figure 4, right)."""

import argparse
import json
from pathlib import Path

from alexnet.commands._shared import add_images, add_model, complain_of, listed, load_model, name_of
from alexnet.errors import UserError
from alexnet.names import printable
from alexnet.output import say

EXAMPLE = "python -m alexnet similar ~/photos/some.jpg -k 3"
EVALUATION, RAW = Path("data/evaluation"), Path("data/raw")
"""Where the workspace's ``evaluate`` and ``download`` wrote."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_images(parser)
    add_model(parser)
    parser.add_argument(
        "--among", type=Path, metavar="FILE", help="search a file of `python -m alexnet features`, not the training images"
    )
    parser.add_argument("-k", type=int, default=6, help="number of images to print; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")


def run(arguments: argparse.Namespace) -> int:
    """Print the nearest images, then a line for each image that cannot be read; returns 2 if there was one, else 0."""
    if arguments.k < 1:
        raise UserError(f"-k: {arguments.k} is not valid; choose 1 or more")
    # Imported here, as torch takes seconds.
    from alexnet.evaluate.features import nearest
    from alexnet.inference.images import read_batches, screen_is_free
    from alexnet.inference.table import read_evaluation, read_table

    model = load_model(arguments.model)
    table = read_table(arguments.among, model) if arguments.among else read_evaluation(EVALUATION, RAW, model)
    bad = []
    for batch in read_batches(list(listed(arguments.images)), [model.preparation], "similar" if screen_is_free() else None):
        vectors = model.activations(batch.squares[model.preparation], table.layer) if batch.squares else ()
        for image, vector, reason in batch.in_order(vectors):
            if reason is not None:
                bad.append((image, reason))
                continue
            found = [
                {"file": table.paths[place], "class": table.labels[place], "distance": round(float(distance), 3)}
                for place, distance in zip(*nearest(table.vectors, vector, arguments.k), strict=True)
            ]
            if arguments.json:
                say(json.dumps({"file": name_of(image), "nearest": found}))
            else:
                lines = [
                    f"  {near['distance']:10.3f}  {printable(near['class'] or '')}  {printable(near['file'])}" for near in found
                ]
                say("\n".join([printable(name_of(image)), *lines]))
    return complain_of(bad)
