"""What the stage pca adds to the decoding of an image, beside scikit-learn's IncrementalPCA on the same pixels."""

from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images
from sklearn.decomposition import IncrementalPCA
from threadpoolctl import threadpool_limits

from alexnet.prepare.color_stats import Sums
from alexnet.prepare.pixels import square
from benchmarks.measure import Comparison, parser, rate, take_turns, tell

SIZE = 256


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    options = parser(__doc__, rounds=15)
    options.add_argument("--images", type=int, default=64, help="squares that each contender takes in (default: %(default)s)")
    chosen = options.parse_args(arguments)
    found = squares(chosen.images)
    contenders = {name: partial(rate, partial(work, found), len(found)) for name, work in {"ours": sums, "theirs": fit}.items()}
    with threadpool_limits(1):
        figures = take_turns(contenders, chosen.rounds)
    what, peer = "pca: what an image adds to its decoding, one core", "scikit-learn's IncrementalPCA"
    tell([Comparison(what, "images/s", figures["ours"], peer, figures["theirs"], 20)], chosen)


def squares(images: int) -> list[NDArray[np.uint8]]:
    """Pieces of the two photographs."""
    random, photos = np.random.default_rng(0), load_sample_images().images
    corners = random.integers(0, 100, (images, 2))
    pieces = [photos[number % 2][top : top + 300, left : left + 400] for number, (top, left) in enumerate(corners)]
    return [square(Image.fromarray(piece), SIZE) for piece in pieces]


def sums(found: list[NDArray[np.uint8]]) -> None:
    """As a worker takes them in."""
    total = Sums(np.zeros((SIZE, SIZE, 3), np.uint32))
    for image in found:
        total.add_square(image)


def fit(found: list[NDArray[np.uint8]]) -> None:
    """An image's pixels a step."""
    pca = IncrementalPCA(3)
    for image in found:
        pca.partial_fit(image.reshape(-1, 3))


if __name__ == "__main__":
    main()
