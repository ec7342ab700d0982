"""Mean, covariance and eigenbasis of the training images' RGB pixels, and their mean image; exact, so workers do not matter."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations_with_replacement

import mpmath
import numpy as np
from numpy.typing import NDArray

from alexnet.errors import UserError
from alexnet.files.eigenbasis import Eigenbasis
from alexnet.prepare.squares import Numbered, Reject, SquareSpec, place, refuse_many, shown
from alexnet.prepare.workers import WorkerFailure, in_chunks

DIGITS = 50
"""Decimal digits of the eigenbasis before it is rounded, once, to double precision."""


@dataclass
class Sums:
    """Sums over images: integers, so their order does not matter."""

    image: NDArray[np.integer]
    """Of the squares, (size, size, 3); 32 bits hold those of 16 million."""
    products: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, 3), np.int64))
    """Of x xᵀ over all pixels x; 64 bits hold those of two billion squares of 256x256."""
    images: int = 0
    rejects: list[Reject] = field(default_factory=list)

    def add_square(self, square: NDArray[np.uint8]) -> None:
        """Add an image's square, (size, size, 3)."""
        self.image += square
        # Integers below 2^53 are exact in float64, in whatever order BLAS adds them up.
        planes = [square[..., channel].astype(np.float64).ravel() for channel in range(3)]
        for one, other in combinations_with_replacement(range(3), 2):
            self.products[one, other] += int(planes[one] @ planes[other])
            self.products[other, one] = self.products[one, other]
        self.images += 1

    def add(self, other: "Sums") -> None:
        """Add the sums over other images."""
        self.image += other.image
        self.products += other.products
        self.images += other.images
        self.rejects += other.rejects


def sums(rows: Sequence[Numbered], spec: SquareSpec) -> Sums:
    """The sums over the squares of ``rows``."""
    total = Sums(np.zeros((spec.size, spec.size, 3), np.uint32))
    for square in spec.squares(rows):
        if isinstance(square, Reject):
            total.rejects.append(square)
        else:
            total.add_square(square)
    return total


def collect(rows: Sequence[Numbered], spec: SquareSpec, *, workers: int | str | None, max_rejects: int) -> Sums:
    """The sums over ``rows`` in one pass over ``workers`` processes.

    Raises ``UserError`` if more than ``max_rejects`` images are unreadable, or all are.
    """
    total = Sums(np.zeros((spec.size, spec.size, 3), np.int64))
    for chunk, part in in_chunks(partial(sums, spec=spec), rows, workers=workers, title="pca", place=place):
        if isinstance(part, WorkerFailure):
            total.rejects += [Reject(row, part.reason) for _, row in chunk]
        else:
            total.add(part)
        refuse_many(total.rejects, max_rejects)
    if not total.images:
        raise UserError(
            f"none of {len(rows)} training images can be read: {shown(total.rejects)}; check data.root, or increase pca.images"
        )
    return total


def eigenbasis(total: Sums) -> Eigenbasis:
    """The eigenbasis of the pixels in 0..255.

    The covariance (divided by the number of pixels) is rounded once, from the exact fraction. Eigenvalues descend; eigenvectors
    are columns, the largest component of each positive. The paper, section 4.1.
    """
    side = total.image.shape[0]
    pixels = total.images * side * side
    # As Python's integers, which have no limit and whose quotient is rounded correctly.
    first, products = total.image.sum((0, 1)).astype(object), total.products.astype(object)
    covariance = ((pixels * products - np.outer(first, first)) / pixels**2).astype(np.float64)
    values, vectors = eigh(covariance)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), range(3)])
    return Eigenbasis(
        images=total.images,
        mean=(first / pixels).tolist(),
        covariance=covariance.tolist(),
        eigenvalues=values.tolist(),
        eigenvectors=vectors.tolist(),
        order="RGB",
    )


def eigh(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalues, ascending, and eigenvectors, in columns, of a small symmetric matrix: the same bits on every processor.

    LAPACK's last digits depend on the vector instructions of its kernels.
    """
    with mpmath.workdps(DIGITS):
        values, vectors = mpmath.eigsy(mpmath.matrix(matrix.tolist()))
        return np.array(values, np.float64).ravel(), np.array(vectors.tolist(), np.float64)


def mean_image(total: Sums) -> NDArray[np.float32]:
    """The mean of the squares, float32 (3, size, size), RGB in 0..255."""
    return np.ascontiguousarray((total.image / total.images).transpose(2, 0, 1).astype(np.float32))


def sample(rows: Sequence[Numbered], images: int | None) -> Sequence[Numbered]:
    """``images`` of the rows, evenly spread over them; all for None."""
    if images is None or images >= len(rows):
        return rows
    return [rows[at * len(rows) // images] for at in range(images)]
