"""Average the probabilities of several models, and test them on a folder with one subfolder per class."""

import argparse

from alexnet.commands._testing import add_folder, report
from alexnet.errors import UserError

EXAMPLE = "python -m alexnet ensemble first.safetensors second.safetensors ~/photos/test"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("models", nargs="+", metavar="MODEL", help="models with the same classes, each with its card beside it")
    add_folder(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the errors; returns 2 if an image could not be read, else 0."""
    if len(arguments.models) == 1:
        raise UserError("one model is no ensemble; name several, then the folder, or use `python -m alexnet evaluate`")
    return report(arguments.models, arguments)
