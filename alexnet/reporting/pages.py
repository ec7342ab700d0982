"""The two pages of the report, from their templates: a README for GitHub and one HTML file that needs nothing beside it."""

import json
import os
import re
from base64 import b64encode
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from alexnet.files import write_bytes, write_text
from alexnet.reporting import figures, pictures, theme
from alexnet.reporting.canvas import shortened
from alexnet.reporting.results import Results, Sample
from alexnet.reporting.tables import confused_pairs, interval, surest_mistakes, worst_and_best

WHOLE_TABLE = 50
"""Up to so many classes the per-class table shows all of them; beyond, the ends of it."""
ENDS = 10
DRAWS = 7
MISTAKES = 5
TITLES = {"cifar10": "CIFAR-10", "imagenette": "Imagenette", "imagenet": "ImageNet", "folder": "one's own images"}
MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg"}


def write_report(results: Results, summary: Path, page: Path, folder: Path) -> None:
    """Write the README ``summary``, the self-contained HTML ``page`` and the README's pictures into ``folder``.

    The same results give the same bytes. Pictures of an earlier report that this one has not are removed from ``folder``.
    """
    drawn = draw(results)
    facts = gather(results, drawn)
    environment = _environment()
    where = Path(os.path.relpath(folder, summary.parent)).as_posix()
    readme = environment.get_template("README.md").render(facts, path=where)
    html = environment.get_template("index.html").render(facts, picture=lambda name, alt: _inline(name, drawn[name], alt))
    for name, content in drawn.items():
        if isinstance(content, str):
            write_text(folder / name, theme.standalone(content))
        else:
            write_bytes(folder / name, content)
    for stale in set(folder.iterdir()) - {folder / name for name in drawn}:
        stale.unlink()
    write_text(page, html)
    write_text(summary, readme)


def draw(results: Results) -> dict[str, str | bytes]:
    """All pictures by file name: drawings as SVG text, the others as the bytes of their files."""
    basis = results.eigenbasis
    drawn: dict[str, str | bytes] = {
        "loss.svg": figures.loss_curve(results.curves),
        "error.svg": figures.error_curve(results.curves),
        "confusion.svg": figures.confusion_matrix(results.confusion, results.card["classes"]),
        "eigenbasis.svg": figures.eigen_gradients(basis["mean"], basis["eigenvalues"], basis["eigenvectors"]),
        "kernels.png": pictures.kernels_png(results.kernels),
        "mean.jpg": pictures.mean_jpeg(results.mean),
    }
    for index, sample in enumerate(results.samples):
        drawn[f"sample-{index}.svg"] = _draw_sample(sample)
    alphas = pictures.noise_alphas(results.card["settings"]["color_noise"], DRAWS)
    if alphas.any() and results.samples:
        noisy = pictures.noisy_jpegs(results.samples[0].jpeg, alphas, basis["eigenvalues"], basis["eigenvectors"])
        drawn |= {f"noise-{index}.jpg": jpeg for index, jpeg in enumerate(noisy)}
    return drawn


def gather(results: Results, drawn: dict[str, str | bytes]) -> dict[str, Any]:
    """The values that the templates name."""
    card, metrics, names = results.card, results.metrics, results.card["classes"]
    variance = sum(results.eigenbasis["eigenvalues"]) or 1
    measured = [entry for entry in results.per_class if entry.images]
    worst, best = worst_and_best(measured, ENDS)
    whole = len(names) <= WHOLE_TABLE
    return {
        "card": card,
        "source": TITLES.get(card["data"]["source"], card["data"]["source"]),
        "metrics": metrics,
        "curves": results.curves,
        "views": "ten" if card["flip"] else "five",
        "range": interval(metrics["ten_crop"]["top1_error"], metrics["images"]),
        "class_tables": [("", measured)] if whole else [(f"Worst {ENDS}", worst), (f"Best {ENDS}", best)],
        "unmeasured": len(names) - len(measured),
        "counted": figures.COUNTED,
        "named": len(names) <= figures.NAMED,
        "groups": figures.GROUPS,
        "pairs": confused_pairs(results.confusion, names, ENDS),
        "mistakes": surest_mistakes(results.predictions, MISTAKES),
        "basis": results.eigenbasis,
        "shares": [value / variance for value in results.eigenbasis["eigenvalues"]],
        "samples": results.samples,
        "noise": [name for name in drawn if name.startswith("noise-")],
        "alphas": pictures.noise_alphas(card["settings"]["color_noise"], DRAWS).tolist(),
        "drawing_css": Markup(theme.drawing_css()),
        "theme": theme,
    }


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("alexnet.reporting"),
        autoescape=select_autoescape(["html", "svg"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "percent": lambda fraction: f"{100 * fraction:.1f}\u00a0%",
        "grouped": lambda number: f"{number:,}".replace(",", "\u202f"),
        "signed": lambda number: f"{number:+.2f}".replace("-", "−"),
        "setting": lambda value: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False).replace('"', ""),
        "md": lambda text: re.sub(r"([\\`*_\[\]<>|~#&])", r"\\\1", str(text)).replace("\n", " "),
        "shortened": shortened,
    }
    return environment


def _draw_sample(sample: Sample) -> str:
    return (
        _environment()
        .get_template("sample.svg")
        .render(sample=sample, jpeg=b64encode(sample.jpeg).decode(), theme=theme)
        .rstrip()
    )


def _inline(name: str, content: str | bytes, alt: str) -> Markup:
    if isinstance(content, str):
        return Markup('<svg role="img" aria-label="{}"').format(alt) + Markup(content.removeprefix("<svg"))
    source = f"data:{MEDIA_TYPES[Path(name).suffix]};base64,{b64encode(content).decode()}"
    return Markup('<img alt="{}" src="{}">').format(alt, source)
