"""Cuts and schedules of two ranks, and the settings of a short training by them."""

from typing import Any

from helpers.nets import settings_of

from alexnet.config.nets import NETS

CUTS_AND_SCHEDULES = [
    (["conv3"], "1F1B"),
    (["conv3"], "GPipe"),
    (["conv3"], "Interleaved1F1B"),
    (["conv3"], "InterleavedZeroBubble"),
    (["fc6"], "1F1B"),
    (["fc6"], "GPipe"),
    (["conv3", "fc6", "fc7"], "Interleaved1F1B"),
    (["conv3", "fc6", "fc7"], "InterleavedZeroBubble"),
]


def recipe(model: str, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """Steps of eight images, the last batch not full, with crops, flips, colour noise and dropout."""
    steps = {"batch_size": 8, "epochs": 1, "flip": True, "color_noise": 0.1, "precision": "float32", "lr": 0.001}
    return settings_of(NETS[model].recipe, **{"pipeline.cuts": ["conv3"], "pipeline.ranks": 2, **steps, **(changes or {})})
