"""The templates and the filters that they use."""

import json
import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from alexnet.report.canvas import shortened


@cache
def environment() -> Environment:
    """Jinja's environment of the report's templates."""
    made = Environment(
        loader=PackageLoader("alexnet.report"),
        autoescape=select_autoescape(["html", "svg"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {
        "percent": lambda fraction: f"{100 * fraction:.1f}\u00a0%",
        "grouped": lambda number: f"{number:,}",
        "short": lambda number: f"{number:.3g}",
        "compact": compact,
        "signed": lambda number: f"{number:+.2f}".replace("-", "−"),
        "setting": lambda value: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False).replace('"', ""),
        "md": _markdown,
        "shortened": shortened,
    }
    return made


def compact(number: int) -> str:
    """``number`` to three digits with a prefix of the SI: ``34.9 k``, ``105 M``."""
    for size, prefix in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        # What would be rounded to 1000 k is 1 M.
        if number >= 0.9995 * size:
            return f"{number / size:.3g}\u00a0{prefix}"
    return str(number)


def _markdown(text: object) -> str:
    # GitHub reads what is between two dollars as a formula, which a backslash does not prevent and this does.
    return re.sub(r"([\\`*_\[\]<>|~#&])", r"\\\1", str(text)).replace("$", "<span>$</span>")
