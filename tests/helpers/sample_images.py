"""The images of a sample run: real digits on real photographs, as samples, mistakes and nearest images."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images


@dataclass(frozen=True)
class Predicted:
    """What a test found, with probabilities (images, classes)."""

    names: list[str]
    """Of the classes."""
    actual: NDArray[Any]
    """The label of each image."""
    center: NDArray[Any]
    """Of the centre crop."""
    average: NDArray[Any]
    """Of all crops."""
    pictures: NDArray[Any]
    """(pictures, 8, 8), 0..16; there may be fewer than images."""


@cache
def photos() -> list[NDArray[Any]]:
    """Scikit-learn's two, (height, width, 3)."""
    return [np.asarray(photo) for photo in load_sample_images().images]


class Pictures:
    """Images of ink on patches of photographs, and the files that name them."""

    def __init__(self, folder: Path, predicted: Predicted, rng: np.random.Generator, preprocess: dict[str, Any]) -> None:
        self.folder, self.predicted, self.rng, self.preprocess = folder, predicted, rng, preprocess

    def write(self) -> None:
        """Samples with their nearest images, and the surest mistakes."""
        actual, average = self.predicted.actual, self.predicted.average
        wrong = np.flatnonzero(average.argmax(1) != actual)
        surest = wrong[np.argsort(-average[wrong].max(1), kind="stable")][:8]
        shown = np.unique(np.concatenate([wrong[:1], np.arange(min(8, len(actual)))]))[:8]
        for name, rows in (("sample", shown), ("mistake", surest)):
            described = [self._picture(f"{name}-{index}.jpg", row) | self._guesses(row) for index, row in enumerate(rows)]
            dump(self.folder / f"{name}s.json", described)
        alike = [np.argsort(actual != actual[row], kind="stable")[:6] for row in shown]
        nearest = [{"nearest": [self._picture(f"train-{row}.jpg", row) for row in rows]} for rows in alike]
        dump(self.folder / "nearest.json", {"layer": "fc7", "images": 2000, "of": 2588, "samples": nearest})

    def _picture(self, file: str, row: int) -> dict[str, Any]:
        pictures, photo = self.predicted.pictures, photos()[row % 2]
        ink = np.kron(pictures[row % len(pictures)] / 16, np.ones((24, 24)))
        top, left = self.rng.integers(0, [photo.shape[0] - 256, photo.shape[1] - 256])
        patch = photo[top : top + 256, left : left + 256].astype(float)
        patch[32:224, 32:224] = np.abs(patch[32:224, 32:224] - 255 * 0.8 * ink[..., None])
        image = Image.fromarray(patch.astype(np.uint8)).resize(2 * [self.preprocess["size"]])
        image.save(self.folder / file, quality=self.preprocess["quality"])
        return {"file": file, "row": 1000 + int(row), "actual": self.predicted.names[self.predicted.actual[row]]}

    def _guesses(self, row: int) -> dict[str, Any]:
        likely, names = self.predicted.average[row], self.predicted.names
        top = [{"class": names[label], "probability": float(likely[label])} for label in np.argsort(-likely)[:5]]
        return {"rank_of_actual": 1 + int((likely > likely[self.predicted.actual[row]]).sum()), "top": top}


def dump(path: Path, content: Any) -> None:
    """Write a JSON file."""
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
