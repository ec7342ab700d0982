"""What all figures share: one style, sizes in pixels, reproducible SVG.

Text stays text. It is laid out in DejaVu Sans, which comes with matplotlib and is wider than the fonts that will show it, so
nothing depends on the fonts of this machine and nothing overlaps on another.
"""

import re
import unicodedata
import warnings
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import StringIO
from itertools import accumulate
from typing import Any

import matplotlib
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import ImageFont

from alexnet.report.theme import INK, MUTED, RULE, SURFACE

WIDTH = 440

STYLE: Any = {
    "svg.hashsalt": "alexnet",
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "text.color": INK,
    "text.parse_math": False,
    "figure.facecolor": SURFACE,
    "axes.facecolor": "none",
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "xtick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.color": RULE,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
    "lines.linewidth": 1.8,
}


@contextmanager
def style() -> Iterator[None]:
    """Our style on top of matplotlib's defaults, whatever the user's matplotlibrc says."""
    with matplotlib.style.context("default"), matplotlib.rc_context(STYLE):
        yield


def canvas(width: int, height: int) -> tuple[Figure, Axes]:
    """A figure of ``width`` by ``height`` pixels with one pair of axes."""
    figure = Figure(figsize=(width / 72, height / 72), dpi=72, layout="constrained")
    return figure, figure.add_subplot()


def svg(figure: Figure) -> str:
    """The figure as an ``svg`` element, without date, program name, or ids that two figures on a page would share."""
    file = StringIO()
    with warnings.catch_warnings():
        # The reader's fonts have the glyphs that DejaVu Sans lacks.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = file.getvalue()
    return re.sub(r'<g id="[^"]*"', "<g", text[text.index("<svg") :]).rstrip()


def shortened(text: str, most: int) -> str:
    """``text``, at most as wide as ``most`` digits of DejaVu Sans, ending in an ellipsis if cut."""
    widths = list(accumulate(map(_width, text)))
    if not widths or widths[-1] <= most:
        return text
    return text[: bisect_right(widths, most - _width("…"))].rstrip(" ,") + "…"


@cache
def _width(character: str) -> float:
    """In digits. What DejaVu Sans lacks, as Chinese, is a square in other fonts."""
    font = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 100)
    square = unicodedata.east_asian_width(character) in "WF"
    return (100 if square else font.getlength(character)) / font.getlength("0")
