"""Free disk space, checked before the work."""

import shutil
from pathlib import Path

from alexnet.errors import UserError


def require_free_space(folder: Path, size: int, purpose: str) -> None:
    """Raise ``UserError`` if the disk of ``folder`` has less than ``size`` bytes free for ``purpose``."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise UserError(f"{purpose} needs {size / 1e9:.1f} GB in {folder}, but {free / 1e9:.1f} GB are free; free some space")
