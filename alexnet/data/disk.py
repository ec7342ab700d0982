"""Room on the disk, asked for before the work."""

import shutil
from pathlib import Path

from alexnet.errors import UserError


def need(folder: Path, size: int, purpose: str) -> None:
    """Raise ``UserError`` where the disk of ``folder`` has less than ``size`` bytes free for ``purpose``."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise UserError(f"{purpose} takes {size / 1e9:.1f} GB in {folder}, where {free / 1e9:.1f} GB are free; make room")
