"""``models/alexnet.json``, the card of a trained model: what its weights alone do not say."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field

from alexnet.errors import UserError
from alexnet.files.eigenbasis import ByChannel, Eigenbasis
from alexnet.files.record import Record
from alexnet.files.shard_index import LARGEST
from alexnet.files.whole import read_json

FORMAT = 1
"""The version of the card's format, raised when a field changes its meaning."""
MOST_THREADS = 1024


def _with_threads(settings: dict[str, Any]) -> dict[str, Any]:
    # The one setting that is used before the model is compared with its card.
    if settings.get("threads") not in range(1, MOST_THREADS + 1):
        raise ValueError("threads is missing or wrong")
    return settings


Side = Annotated[int, Field(ge=1, le=3 * LARGEST)]


class Lineage(Record):
    """Where the images of a training came from."""

    source: str
    images: dict[str, int]
    """Of each split."""
    rejects: int
    """Images that could not be read."""
    sha256: dict[str, str]
    """Over the hashes of each split's shards."""


class Card(Record):
    """The content of the card."""

    format: int
    net: str
    classes: Annotated[list[str], Field(min_length=1)]
    """Names, in label order."""
    size: Annotated[int, Field(ge=1, le=LARGEST)]
    """Side of the square that images are brought to, in pixels."""
    crop_size: Side
    crop_padding: Annotated[int, Field(ge=0, le=LARGEST)]
    """Pixels of the mean's colour around a square, which crops may reach into."""
    scale: Annotated[list[Annotated[float, Field(gt=0)]], ByChannel]
    """What the squares are divided by once the mean is subtracted, RGB."""
    flip: bool
    """Whether a mirrored image is still of its class."""
    eigenbasis: Eigenbasis
    settings: Annotated[dict[str, Any], AfterValidator(_with_threads)]
    """The settings that change numbers, with dotted keys, sorted; ``init_from`` as ``start_from`` returns it."""
    data: Lineage
    epoch: int
    """The epoch whose weights these are."""
    epochs: int
    parameters: int
    sha256: str
    """Of the file with the weights."""

    @classmethod
    def read(cls, path: Path, remedy: str = "") -> Self:
        """Read a model's card. Raises ``UserError``, as ``read_json`` does, or if it is of another format."""
        content = read_json(path, remedy)
        found = content.get("format", 0) if isinstance(content, dict) and "net" in content else FORMAT
        if isinstance(found, int) and found != FORMAT:
            age = "an older" if found < FORMAT else "a newer"
            raise UserError(
                f"{path} was written by {age} version (format {found}, not {FORMAT}); train again, or use that version"
            )
        return super().read(path, remedy)
