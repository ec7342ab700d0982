"""What a source is asked, and what it answers."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from alexnet.config.data import Source
from alexnet.names import printable
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


@dataclass
class Omissions:
    """What a source found in a user's folder and does not use."""

    files: Counter[str] = field(default_factory=Counter)
    """How many of each kind: ``.gif``, ``without extension``."""
    lines: list[str] = field(default_factory=list)
    """Whole folders, a sentence each."""

    def summary(self, most: int = 8) -> str:
        """``3 .gif, 1 .txt``, the most frequent kinds first; empty if no file was left out."""
        kinds = sorted(self.files.items(), key=lambda kind: (-kind[1], kind[0]))
        rest = sum(count for _, count in kinds[most:])
        return ", ".join([f"{count} {printable(kind)}" for kind, count in kinds[:most]] + [f"{rest} others"] * bool(rest))


@dataclass(frozen=True)
class SourceListing:
    """The images of a source; ``classes``, ``pixels`` and ``mirror`` are as in ``Manifest``.

    ``rows`` are without hashes; a source without test or val images has all of them in train.
    """

    classes: list[str]
    rows: list[Row]
    folder: Path
    """Where the rows' paths start."""
    pixels: str = "encoded"
    mirror: bool = True
    keep_small: bool = False
    """Whether classes with too few images to take some for validation or test are only trained on, instead of an error."""
    omissions: Omissions = field(default_factory=Omissions)
