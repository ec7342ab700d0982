"""Paths in settings that start at a home folder."""

from pathlib import Path

from alexnet.errors import UserError


def expanded(path: str, setting: str) -> Path:
    """``path`` with the home folder for ``~``, or that of a user for ``~user``.

    Raises ``UserError``, which names ``setting``, if that folder is not known.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        start = Path(path).parts[0]
        raise UserError(f"{setting}: {path} is in the home folder {start}, which is not known here; write it out") from None
