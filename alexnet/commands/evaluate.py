"""Test a model on a folder with one subfolder per class: errors, a per-class table, confusions."""

import argparse

from alexnet.commands._shared import add_model
from alexnet.commands._testing import add_folder, report

EXAMPLE = "python -m alexnet evaluate ~/photos/test -o results"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_folder(parser)
    add_model(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the errors; returns 2 if an image could not be read, else 0."""
    return report([arguments.model], arguments)
