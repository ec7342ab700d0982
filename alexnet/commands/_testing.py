"""What ``evaluate`` and ``ensemble`` share: the folder of test images, and printing the results."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from alexnet.commands._shared import complain_of, load_model
from alexnet.home import expanded
from alexnet.names import printable
from alexnet.output import complain, say


def add_folder(parser: argparse.ArgumentParser) -> None:
    """Declare the folder, and where the tables go."""
    parser.add_argument("folder", metavar="FOLDER", help="a folder with one subfolder of images per class, named after it")
    tables = "predictions.csv, per_class.csv, confusion.csv and metrics.json"
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help=f"write {tables} to this folder")


def report(paths: Sequence[str], arguments: argparse.Namespace) -> int:
    """Test the models and print the results, with those of their average if there are several; returns the exit status."""
    # Imported here, as torch takes seconds.
    from alexnet.evaluate.results import metrics, write_tables
    from alexnet.files.whole import write_json
    from alexnet.inference.testing import refuse_other_classes, run_test, summary

    models = [load_model(path) for path in paths]
    refuse_other_classes(paths, models)
    found = run_test(models, expanded(arguments.folder, "the folder"))
    classes = models[0].classes
    say(summary(found.evaluations, paths, models))
    if arguments.output:
        write_tables(arguments.output, found.evaluations[-1], classes, {"file": found.files})
        write_json(arguments.output / "metrics.json", metrics(found.evaluations[-1], len(classes)))
    if found.left_out:
        complain(f"left out in {printable(arguments.folder)}: {found.left_out}")
    return complain_of(found.bad)
