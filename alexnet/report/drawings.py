"""All pictures of the report by file name."""

from base64 import b64encode

import numpy as np

from alexnet.config.nets import NETS
from alexnet.input.colors import noise_lengths
from alexnet.report import figures, pictures, theme, words
from alexnet.report.environment import compact, environment
from alexnet.report.inputs import Picture, ReportInputs, Sample

DRAWS = 7
BYTES = {"float32": 4, "bfloat16": 2}
"""Of a number that crosses between stages of a pipeline, by the training's precision."""
MISTAKE_SIDE, QUERY_SIDE, NEAREST_SIDE = 192, 128, 72
"""Pixels that larger pictures are brought down to, which makes the page smaller."""


def draw(inputs: ReportInputs) -> dict[str, str | bytes]:
    """All pictures by file name: drawings as SVG text, the others as the bytes of their files."""
    basis, card = inputs.eigenbasis, inputs.card
    drawn: dict[str, str | bytes] = {
        "loss.svg": figures.loss_curve(inputs.curves),
        "error.svg": figures.error_curve(inputs.curves),
        "confusion.svg": figures.confusion_matrix(inputs.confusion, card.classes),
        "eigenbasis.svg": figures.eigen_gradients(basis.mean, basis.eigenvalues, basis.eigenvectors),
        "kernels.png": pictures.kernels_png(inputs.kernels, card.settings["towers"] or 1),
        "mean.jpg": pictures.mean_jpeg(inputs.mean, card.settings["mean"]),
        "net.svg": draw_net(inputs),
    }
    drawn |= {f"sample-{index}.svg": _draw_sample(sample) for index, sample in enumerate(inputs.samples)}
    drawn |= {f"mistake-{index}.svg": _draw_sample(sample, mistake=True) for index, sample in enumerate(inputs.mistakes)}
    for index, (sample, nearest) in enumerate(zip(inputs.samples, inputs.nearest.samples, strict=True)):
        drawn[f"nearest-{index}.svg"] = draw_nearest(sample, nearest)
    if inputs.samples:
        drawn["maps-input.jpg"] = pictures.centre_jpeg(inputs.samples[0].jpeg, card.crop_size)
        drawn |= {f"maps-{name}.png": pictures.maps_png(maps) for name, maps in inputs.maps.items()}
    alphas = pictures.noise_alphas(card.settings["color_noise"], DRAWS)
    if alphas.any() and inputs.samples:
        lengths = noise_lengths(np.array(basis.eigenvalues), card.settings["color_noise_scale"])
        noisy = pictures.noisy_jpegs(inputs.samples[0].jpeg, alphas, lengths, basis.eigenvectors)
        drawn |= {f"noise-{index}.jpg": jpeg for index, jpeg in enumerate(noisy)}
    return drawn


def draw_net(inputs: ReportInputs) -> str:
    """The layers with weights, what they cost, and what one image puts over each legal cut."""
    size = BYTES[inputs.card.settings["precision"]]
    legal = NETS[inputs.card.net].cuts
    return _render(
        "net.svg",
        layers=inputs.layers,
        cuts={layer.name: f"cut: {compact(size * layer.input_values)}B" for layer in inputs.layers if layer.name in legal},
        most_macs=max(layer.macs for layer in inputs.layers),
        most_parameters=max(layer.parameters for layer in inputs.layers),
    )


def draw_nearest(sample: Sample, nearest: list[Picture]) -> str:
    """A test image and the training images nearest to it, with a bar under each: blue if it is of the same class."""
    small = [pictures.thumbnail(picture.jpeg, NEAREST_SIDE) for picture in nearest]
    return _render(
        "nearest.svg",
        sample=sample,
        found=nearest,
        query=b64encode(pictures.thumbnail(sample.jpeg, QUERY_SIDE)).decode(),
        pictures=[b64encode(picture).decode() for picture in small],
        # Pixels of images that were small before are shown as they are.
        rendering="pixelated" if small[:1] == [nearest[0].jpeg] else "auto",
        others=words.other_classes(sample, nearest),
    )


def _draw_sample(sample: Sample, mistake: bool = False) -> str:
    picture, kind = pictures.magnified(pictures.thumbnail(sample.jpeg, MISTAKE_SIDE) if mistake else sample.jpeg)
    return _render("sample.svg", sample=sample, picture=b64encode(picture).decode(), kind=kind, mistake=mistake)


def _render(template: str, **values: object) -> str:
    return environment().get_template(template).render(values, theme=theme).strip()
