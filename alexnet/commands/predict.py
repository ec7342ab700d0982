"""Print the most probable classes of images."""

import argparse
import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from alexnet.commands._shared import add_images, add_model, complain_of, listed, load_model, name_of
from alexnet.errors import UserError
from alexnet.names import printable
from alexnet.output import say

if TYPE_CHECKING:
    from alexnet.inference.model import Guess

EXAMPLE = "python -m alexnet predict ~/photos/test --ten-crop --csv > predictions.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_images(parser)
    add_model(parser)
    parser.add_argument("--top", type=int, default=5, metavar="K", help="number of classes to print; default: %(default)s")
    parser.add_argument("--ten-crop", action="store_true", help="average over ten crops instead of the centre crop")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", dest="form", action="store_const", const="json", help="print one JSON object per line")
    form.add_argument("--csv", dest="form", action="store_const", const="csv", help="print a CSV table, one row per class")


def run(arguments: argparse.Namespace) -> int:
    """Print the predictions, then a line for each image that cannot be read; returns 2 if there was one, else 0."""
    # Imported here, as torch takes seconds.
    from alexnet.inference.images import read_batches, screen_is_free

    if arguments.top < 1:
        raise UserError(f"--top: {arguments.top} is not valid; choose 1 or more")
    model = load_model(arguments.model)
    if arguments.form == "csv":
        say("file,rank,class,probability")
    bad = []
    images = list(listed(arguments.images))
    for batch in read_batches(images, [model.preparation], "predict" if screen_is_free() else None):
        likely = model.probabilities(batch.squares[model.preparation], ten_crop=arguments.ten_crop) if batch.squares else ()
        for image, row, reason in batch.in_order(likely):
            if reason is not None:
                bad.append((image, reason))
                if arguments.form == "json":
                    say(json.dumps({"file": name_of(image), "error": reason}))
            else:
                say(FORMS[arguments.form](name_of(image), model.guesses(row, arguments.top)))
    return complain_of(bad)


def _text(file: str, guesses: Sequence["Guess"]) -> str:
    return "\n".join([printable(file), *(f"  {guess.probability:6.1%}  {printable(guess.name)}" for guess in guesses)])


def _json(file: str, guesses: Sequence["Guess"]) -> str:
    top = [{"class": guess.name, "probability": guess.probability} for guess in guesses]
    return json.dumps({"file": file, "top": top})


def _csv(file: str, guesses: Sequence["Guess"]) -> str:
    text = io.StringIO()
    rows = ((file, rank, guess.name, guess.probability) for rank, guess in enumerate(guesses, 1))
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().rstrip("\n")


FORMS: dict[str | None, Callable[[str, Sequence["Guess"]], str]] = {None: _text, "json": _json, "csv": _csv}
