"""Names of classes that are known by their WordNet ids."""

import re
from collections import Counter
from pathlib import Path

WNID = re.compile(r"n\d{8}")


def read_names(path: Path) -> dict[str, str]:
    """From the WordNet id to the first word, from lines like ``n01440764 tench, Tinca tinca``; a tab may be between them."""
    lines = (line.split(None, 1) for line in path.read_text("utf-8", "replace").splitlines())
    return {fields[0]: first_word(fields[1]) for fields in lines if len(fields) == 2}


def first_word(words: str) -> str:
    """The first of the words for a class, which commas separate."""
    return words.split(",")[0].strip()


def class_names(wnids: list[str], names: dict[str, str]) -> list[str]:
    """The name of each class, with the WordNet id if two classes share it (crane, maillot), or the id alone if it has none."""
    found = [names.get(wnid) or wnid for wnid in wnids]
    counts = Counter(found)
    return [name if counts[name] == 1 else f"{name} ({wnid})" for name, wnid in zip(found, wnids, strict=True)]
