"""The two pages of the report, from their templates: a README for GitHub and one HTML file that needs nothing beside it."""

import os
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from alexnet.config.nets import NETS
from alexnet.config.sources import SOURCES
from alexnet.files.whole import write_bytes, write_text
from alexnet.input.colors import noise_lengths
from alexnet.report import figures, pictures, theme, words
from alexnet.report.drawings import DRAWS, draw
from alexnet.report.environment import environment
from alexnet.report.inputs import ReportInputs
from alexnet.report.tables import confused_pairs, interval, worst_and_best

WHOLE_TABLE = 50
"""The per-class table shows all classes up to this number; beyond, the worst and the best."""
ENDS = 10
SMOOTH = 0.2
"""Kernels whose neighbouring weights correlate less than this are called noise."""
MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg"}


def write_report(inputs: ReportInputs, summary: Path, page: Path, folder: Path) -> None:
    """Write the README ``summary``, the self-contained HTML ``page`` and the README's pictures into ``folder``.

    The same inputs give the same bytes. Pictures of an earlier report that this one does not have are removed from ``folder``.
    """
    drawn = draw(inputs)
    readme, html = render(inputs, drawn, Path(os.path.relpath(folder, summary.parent)))
    for name, content in drawn.items():
        if isinstance(content, str):
            write_text(folder / name, theme.standalone(content))
        else:
            write_bytes(folder / name, content)
    for stale in set(folder.iterdir()) - {folder / name for name in drawn}:
        stale.unlink()
    write_text(page, html)
    write_text(summary, readme)


def render(inputs: ReportInputs, drawn: dict[str, str | bytes], folder: Path) -> tuple[str, str]:
    """The README, which names its pictures in ``folder``, and the HTML page, which holds them."""
    facts = gather(inputs, drawn)
    readme = environment().get_template("README.md").render(facts, path=folder.as_posix())
    html = environment().get_template("index.html").render(facts, picture=lambda name, alt: _inline(name, drawn[name], alt))
    return readme, html


def gather(inputs: ReportInputs, drawn: dict[str, str | bytes]) -> dict[str, Any]:
    """The values that the templates name."""
    card, metrics, basis = inputs.card, inputs.metrics, inputs.eigenbasis
    noise, lengths = (
        card.settings["color_noise"],
        noise_lengths(np.array(basis.eigenvalues), card.settings["color_noise_scale"]),
    )
    variance = sum(basis.eigenvalues) or 1
    measured = [entry for entry in inputs.per_class if entry.images]
    worst, best = worst_and_best(measured, ENDS)
    whole = len(card.classes) <= WHOLE_TABLE
    return {
        "card": card,
        "net": NETS[card.net],
        "source": _title(card.data.source),
        "departures": words.departures(card),
        "disturbances": words.disturbances(card),
        "margin": words.margin(card),
        "settings": _settings_of_the_images(inputs) | card.settings,
        "metrics": metrics,
        "curves": inputs.curves,
        "drops": figures.rate_drops(inputs.curves),
        "marked": figures.MARKED,
        "views": "ten" if card.flip else "five",
        "range": interval(metrics["ten_crop"]["top1_error"], metrics["images"]),
        "class_tables": [("", measured)] if whole else [(f"Worst {ENDS}", worst), (f"Best {ENDS}", best)],
        "unmeasured": len(card.classes) - len(measured),
        "counted": figures.COUNTED,
        "named": len(card.classes) <= figures.NAMED,
        "groups": figures.GROUPS,
        "pairs": confused_pairs(inputs.confusion, card.classes, ENDS),
        "mistakes": inputs.mistakes,
        "nearest": inputs.nearest,
        "maps": {name: maps.shape for name, maps in inputs.maps.items()},
        "most_maps": pictures.MAPS,
        "layers": inputs.layers,
        "kernels": inputs.kernels.shape,
        "smoothness": words.smoothness(inputs.kernels),
        "smooth": SMOOTH,
        "steps": words.steps(card),
        "basis": basis,
        "shares": [value / variance for value in basis.eigenvalues],
        "samples": inputs.samples,
        "noise": [name for name in drawn if name.startswith("noise-")],
        "alphas": pictures.noise_alphas(noise, DRAWS).tolist(),
        "noise_levels": (noise * lengths).tolist(),
        "drawing_css": Markup(theme.drawing_css()),
        "theme": theme,
    }


def _title(recorded: str) -> str:
    """A source as the card has it, in a sentence: Flowers102 if that is ``torchvision/Flowers102``."""
    source, _, name = recorded.partition("/")
    return name or SOURCES[source].title


def _settings_of_the_images(inputs: ReportInputs) -> dict[str, Any]:
    """By their names in params.yaml; the quality is read from a test image."""
    quality = pictures.jpeg_quality(inputs.samples[0].jpeg) if inputs.samples else None
    source, _, name = inputs.card.data.source.partition("/")
    known = {"data.source": source} | ({"data.name": name} if name else {}) | {"preprocess.size": inputs.card.size}
    return known if quality is None else known | {"preprocess.quality": quality}


def _inline(name: str, content: str | bytes, alt: str) -> Markup:
    if isinstance(content, str):
        return Markup('<svg role="img" aria-label="{}"').format(alt) + Markup(content.removeprefix("<svg"))
    source = f"data:{MEDIA_TYPES[Path(name).suffix]};base64,{b64encode(content).decode()}"
    return Markup('<img alt="{}" src="{}">').format(alt, source)
