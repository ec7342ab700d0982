"""What a source is asked, and what it answers."""

from dataclasses import dataclass
from pathlib import Path

from alexnet.config.data import Source
from alexnet.sources.manifest import Row


@dataclass(frozen=True)
class Request:
    """What a source may need to find its images."""

    settings: Source
    seed: int
    main: Path
    """The main repository, where a relative ``data.root`` starts."""
    raw: Path
    """The folder that archives are unpacked into, or written."""

    @property
    def downloads(self) -> Path:
        """The folder for fetched archives."""
        return self.main / "downloads"


@dataclass(frozen=True)
class SourceListing:
    """The images of a source. ``rows`` are without hashes; a source without test or val images has all of them in train."""

    classes: list[str]
    """Names, in label order."""
    rows: list[Row]
    folder: Path
    """Where the rows' paths start."""
    pixels: str = "encoded"
    """How images are stored: see ``Manifest``."""
    mirror: bool = True
    """Whether a mirrored image is still of its class."""
