"""scikit-learn's 1,797 scanned digits, each as a coloured figure on a patch of a photograph (the idea of MNIST-M).

scikit-learn has the photographs too, so nothing is fetched and the RGB covariance of the pixels has full rank.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from alexnet.files.whole import whole_file
from alexnet.sources.listing import Request, SourceListing
from alexnet.sources.manifest import Row
from alexnet.sources.split import complete
from alexnet.sources.tar import END, write_member

SIDE = 64
"""Side of a picture in pixels."""
FIGURE = 60
"""Side of the enlarged scan, which has 8x8 grey levels."""
DARKENING = 0.35
"""Factor of the photograph's grey levels, so that any figure stands out."""
COLORS = (150, 255)
"""Range of a figure's red, green and blue."""
ARCHIVE = "digits.tar"


def find(request: Request) -> SourceListing:
    """Write the pictures, PNGs of 64x64, to ``digits.tar``: ``data.blends`` of each training digit, one of any other.

    A digit is in one split only. Pictures are a function of the seed, the digit and the blend.
    """
    settings, seed = request.settings, request.seed
    scans = load_digits()
    photos = load_sample_images().images
    labels = [int(label) for label in scans.target]
    classes = [str(name) for name in scans.target_names]
    digits = [Row("train", label, str(digit)) for digit, label in enumerate(labels)]
    digits = complete(digits, settings.val_fraction, settings.test_fraction, seed, classes)
    rows = []
    with whole_file(request.raw / ARCHIVE) as file:
        for digit, (split, label, *_) in enumerate(digits):
            for blend in range(settings.blends if split == "train" else 1):
                pixels = picture(scans.images[digit] / 16, photos, np.random.default_rng([seed, digit, blend]))
                png = io.BytesIO()
                Image.fromarray(pixels).save(png, "PNG", compress_level=1)
                offset = write_member(file, f"{split}/{label}/{digit:04d}-{blend}.png", png.getvalue())
                rows.append(Row(split, label, ARCHIVE, offset, len(png.getvalue())))
        file.write(END)
    return SourceListing(classes, rows, request.raw, mirror=False)


def picture(ink: NDArray[np.float64], photos: list[NDArray[np.uint8]], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A scan, (8, 8) in 0..1, as a bright figure of a random colour on a darkened patch of a photograph: uint8 (64, 64, 3)."""
    photo = photos[rng.integers(len(photos))]
    top, left = (rng.integers(extent - SIDE + 1) for extent in photo.shape[:2])
    patch = DARKENING * photo[top : top + SIDE, left : left + SIDE]
    enlarged = Image.fromarray(ink.astype(np.float32)).resize((FIGURE, FIGURE), Image.Resampling.BICUBIC)
    figure = np.zeros((SIDE, SIDE, 1))
    top, left = rng.integers(SIDE - FIGURE + 1, size=2)
    # Twice the ink, clipped: strokes cover the photograph, their edges stay soft.
    figure[top : top + FIGURE, left : left + FIGURE, 0] = np.clip(2 * np.asarray(enlarged) - 0.3, 0, 1)
    color = rng.uniform(*COLORS, size=3)
    return np.rint(patch + figure * (color - patch)).astype(np.uint8)
