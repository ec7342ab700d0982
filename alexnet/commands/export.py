"""Export a trained model to ONNX, torch's pt2, or torchvision's weights."""

import argparse
from pathlib import Path

from alexnet.commands._shared import add_model, load_model
from alexnet.errors import UserError
from alexnet.export import SUFFIXES
from alexnet.home import expanded
from alexnet.names import printable
from alexnet.nearest import refuse_unknown
from alexnet.output import say

EXAMPLE = "python -m alexnet export --to onnx --with-preparation -o ~/alexnet.onnx"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--to", required=True, metavar="FORMAT", help="onnx, pt2, or torchvision (weights for its alexnet)")
    add_model(parser)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: the model's path with the format's suffix")
    parser.add_argument(
        "--with-preparation",
        action="store_true",
        help="take uint8 RGB squares (N, size, size, 3) and return probabilities, instead of the net's inputs and logits",
    )


def run(arguments: argparse.Namespace) -> int:
    """Export, and say how close the result is."""
    refuse_unknown("format", arguments.to, SUFFIXES)
    # Imported here, as torch takes seconds.
    from alexnet.export.export import export

    path = expanded(str(arguments.output or Path(arguments.model).with_suffix(SUFFIXES[arguments.to])), "-o")
    if path.resolve() == expanded(arguments.model, "--model").resolve():
        raise UserError(f"{path} is the model itself; choose another file with -o")
    difference = export(load_model(arguments.model), path, arguments.to, prepared=arguments.with_preparation)
    megabytes = path.stat().st_size / 1e6
    say(
        f"{printable(path)}: {megabytes:.1f} MB; on two photographs its outputs differ from the net's by at most {difference:.0e}"
    )
    return 0
