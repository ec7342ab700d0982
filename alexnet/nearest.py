"""Names that do not exist, answered with the nearest that does."""

from collections.abc import Collection
from difflib import get_close_matches

from alexnet.errors import UserError


def refuse_unknown(kind: str, name: str, known: Collection[str]) -> None:
    """Raise ``UserError`` with the nearest name if ``name`` is not among the ``known``, of which there is at least one."""
    if name not in known:
        raise UserError(f"there is no {kind} {name}; did you mean {nearest(name, known, cutoff=0.0)}?")


def nearest(name: str, known: Collection[str], cutoff: float = 0.6) -> str | None:
    """The most similar of the ``known`` names, whatever their case; None if all are less similar than ``cutoff``, 0 to 1."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else None
