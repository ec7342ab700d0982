"""Cuts and schedules of two ranks, and short trainings by them."""

from functools import cache
from pathlib import Path
from typing import Any

from helpers.nets import settings_of
from helpers.training import Trained, alone, trained

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


def assert_same_when_cut(pair: Any, folder: Path, model: str, cut: str, precision: str, batch_size: int) -> None:
    """Two steps of two ranks, cut there, give bitwise what one process gives."""
    settings = recipe(
        model, {"precision": precision, "batch_size": batch_size, "pipeline.cuts": [cut], "pipeline.microbatches": 2}
    )
    (steps, epochs, weights), (_, _, others) = pair(trained, settings, folder)
    assert (steps, epochs, weights | others) == uncut(folder, model, precision, batch_size)
    assert len(steps) == 2
    assert f"{cut}.weight" in others


@cache
def uncut(folder: Path, model: str, precision: str, batch_size: int) -> Trained:
    """What one process gives; no cut changes it."""
    return alone(recipe(model, {"precision": precision, "batch_size": batch_size, "pipeline.microbatches": 2}), folder)
