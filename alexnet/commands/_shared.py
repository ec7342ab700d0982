"""What the commands share: loading the model, and finding the images named on the command line."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from alexnet.home import expanded
from alexnet.names import printable
from alexnet.nearest import nearest
from alexnet.output import complain
from alexnet.sources.listing import Omissions
from alexnet.sources.scan import images_below

if TYPE_CHECKING:
    from alexnet.inference.model import Model

SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"BM")
"""The first bytes of a JPEG, PNG, WebP and BMP file."""


def add_model(parser: argparse.ArgumentParser) -> None:
    """Declare ``--model``."""
    parser.add_argument(
        "--model",
        default="models/alexnet.safetensors",
        help="a model with its card beside it, or torchvision's alexnet-owt-7be5be79.pth; default: %(default)s",
    )


def add_images(parser: argparse.ArgumentParser) -> None:
    """Declare the images."""
    parser.add_argument(
        "images",
        nargs="+",
        metavar="FILE|FOLDER|-",
        help="an image file, a folder with images at any depth, or - to read one image, or a list of files, from stdin",
    )


def load_model(path: str) -> "Model":
    """The model, ready to compute on all cores. Raises ``UserError`` if it is missing or damaged."""
    from alexnet.inference.model import load
    from alexnet.input.loader import thread_count
    from alexnet.models.numerics import prepare_process

    prepare_process(thread_count(None, processes=1))
    return load(path)


def listed(arguments: Sequence[str]) -> dict[str | bytes, str | None]:
    """The images that the arguments name, each with the subfolder of the named folder that it is in, if any.

    From stdin, an image is its bytes.
    """
    found: dict[str | bytes, str | None] = {}
    for argument in arguments:
        path = expanded(argument, "the image") if argument.startswith("~") else Path(argument)
        if argument == "-":
            found |= dict.fromkeys(_from_stdin())
        elif path.is_dir():
            omissions = Omissions()
            for image in images_below(path, omissions):
                parts = image.relative_to(path).parts
                found[str(image)] = parts[0] if len(parts) > 1 else None
            if left_out := omissions.summary():
                complain(f"left out in {printable(path)}: {left_out}")
        else:
            found[str(path)] = None
    return found


def complain_of(images: Sequence[tuple[str | bytes, str]]) -> int:
    """Print a line for each image that could not be read, with the reason; the exit status is 2 if there is one, else 0."""
    for image, reason in images:
        path = Path(name_of(image))
        near = None
        if not path.exists() and path.parent.is_dir():
            near = nearest(path.name, [file.name for file in path.parent.iterdir()])
        remedy = f"did you mean {printable(path.with_name(near))}?" if near else "choose another file"
        complain(f"error: {printable(path)} cannot be read as an image ({printable(reason)}); {remedy}")
    return 2 if images else 0


def name_of(image: str | bytes) -> str:
    """The path of an image; - for one from stdin."""
    return image if isinstance(image, str) else "-"


def _from_stdin() -> list[str] | list[bytes]:
    content = sys.stdin.buffer.read()
    if content.startswith(SIGNATURES) and b"\0" in content:  # which no path has
        return [content]
    return [line for line in content.decode("utf-8", "surrogateescape").splitlines() if line]
