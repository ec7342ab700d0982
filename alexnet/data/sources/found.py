"""What a source answers: its images, with the splits that it has itself."""

from dataclasses import dataclass
from pathlib import Path

from alexnet.data.manifest import Row


@dataclass(frozen=True)
class Found:
    """The images of a source. ``rows`` are without hashes; a source without test or val images has all of them in train."""

    classes: list[str]
    """Names, in label order."""
    rows: list[Row]
    folder: Path
    """Where the rows' paths start."""
    pixels: str = "encoded"
