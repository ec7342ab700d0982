"""Write a layer's activations for images to a Parquet file: path, label and vector."""

import argparse
from pathlib import Path

from alexnet.commands._shared import add_images, add_model, complain_of, listed, load_model
from alexnet.errors import UserError

EXAMPLE = "python -m alexnet features ~/photos/train --layer fc7 -o features.parquet"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_images(parser)
    add_model(parser)
    parser.add_argument("--layer", help="the layer, after its activation function; default: the last hidden layer, fc7")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the Parquet file to write")


def run(arguments: argparse.Namespace) -> int:
    """Write the file; returns 2 if an image could not be read, else 0."""
    if arguments.output.suffix != ".parquet":
        raise UserError(f"-o: {arguments.output} does not end in .parquet, the only format here; rename it")
    # Imported here, as torch takes seconds.
    from alexnet.inference.table import write_table

    model = load_model(arguments.model)
    layer = model.layer(arguments.layer)
    return complain_of(write_table(arguments.output, model, layer, listed(arguments.images)))
