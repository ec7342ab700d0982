"""The report's colours in light and dark mode, and how a figure changes from one to the other.

Figures are plain SVG in light colours, right in any viewer. One rule for each colour, keyed by its hexadecimal code in a
``style`` attribute, swaps it in dark mode.
"""

INK = "#1c1f23"
MUTED = "#6b727b"
RULE = "#d8dce1"
SURFACE = "#ffffff"
BLUE = "#0969b0"
ORANGE = "#c8560a"
"""Blue for what is right and for validation, orange for mistakes: a pair that every kind of colour vision can tell apart."""

NIGHT = {INK: "#e6e9ed", MUTED: "#98a1ac", RULE: "#343b44", SURFACE: "#0d1117", BLUE: "#58a6e8", ORANGE: "#ee8f4a"}

SANS = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, "Liberation Sans", sans-serif'


def drawing_css() -> str:
    """The style sheet of the figures: the font, and the colours of dark mode."""
    swaps = "\n".join(
        f'  svg [style*="{role}: {day}"] {{ {role}: {night} !important }}'
        for day, night in NIGHT.items()
        for role in ("fill", "stroke")
    )
    return f"svg text {{ font-family: {SANS} !important }}\n@media screen and (prefers-color-scheme: dark) {{\n{swaps}\n}}"


def standalone(svg: str) -> str:
    """A figure as a file of its own, with its style sheet inside."""
    head, rest = svg.split(">", 1)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{head}>\n<style>\n{drawing_css()}\n</style>{rest}\n'
