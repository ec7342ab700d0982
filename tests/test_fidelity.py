"""docs/fidelity.md: every row names tests that exist, every value is legal, every shipped value is the shipped one."""

import re
from pathlib import Path
from typing import Any

from helpers.nets import legal, settings_of

from alexnet.config.section import flat
from alexnet.config.training import Training

ROOT = Path(__file__).parent.parent
DOCUMENT = (ROOT / "docs/fidelity.md").read_text()
SHIPPED = flat(settings_of(None))


def rows() -> list[dict[str, str]]:
    """The rows of all tables that have tests, each by its columns' names."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", DOCUMENT, re.MULTILINE):
        head, _, *lines = ([cell.strip() for cell in line.strip("|\n").split("|")] for line in block.splitlines())
        if head[-1] == "Test":
            found += [dict(zip(head, cells, strict=True)) for cells in lines]
    return found


def shown(value: Any) -> str:
    """A value as the document writes it."""
    return "null" if value is None else str(value)


def test_every_row_names_a_test_and_every_test_that_the_document_names_exists() -> None:
    assert len(rows()) >= 30
    assert [row["Item"] for row in rows() if not re.fullmatch(r"`tests/\S+::\w+`(, `tests/\S+::\w+`)*", row["Test"])] == []
    named = re.findall(r"`(tests/\S+?\.py)::(\w+)`", DOCUMENT)
    assert [f"{path}::{test}" for path, test in named if f"\ndef {test}(" not in (ROOT / path).read_text()] == []


def test_every_default_is_the_shipped_one_and_every_other_value_is_legal() -> None:
    for row in rows():
        defaults = dict(re.findall(r"`([a-z_]+): ([^`]+)`", row["Here"]))
        assert {name: shown(SHIPPED.get(name, "no such setting")) for name in defaults} == defaults
        others = set(re.findall(r"`([\w.-]+)`", row["Here"]))
        values = {shown(value) for name in Training.model_fields.keys() & (defaults.keys() | others) for value in legal(name)}
        recipes = {path.stem for path in (ROOT / "recipes").glob("*.yaml")}
        # What remains is the init whose biases the row gives, and the crop sizes.
        assert others - values - SHIPPED.keys() - recipes - set(map(str, legal("init"))) - {"224", "true", "false"} == set()
