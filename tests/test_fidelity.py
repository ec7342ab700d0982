"""docs/fidelity.md: every row names a test that exists, every default is the shipped one, every figure is the computed one."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from helpers.nets import legal, meta_net, settings_of

from alexnet.models.costs import Cost, costs, total
from alexnet.config.nets import NETS

ROOT = Path(__file__).parent.parent
DOCUMENT = (ROOT / "docs/fidelity.md").read_text()

SWITCHES = (
    *("activation", "pool", "lrn", "lrn_scope", "towers", "dropout"),
    *("crop_size", "mean", "scale", "color_noise", "color_noise_scale", "init"),
    *("optimizer", "bias_lr_mult", "bias_decay", "lr_schedule", "early_stop"),
)
"""The settings by which a training may leave the paper."""


def tables(last: str) -> list[dict[str, str]]:
    """The rows of all tables whose last column is ``last``, each by its columns' names."""
    rows = []
    for block in re.findall(r"(?:^\|.*\n)+", DOCUMENT, re.MULTILINE):
        head, _, *lines = ([cell.strip() for cell in line.strip("|\n").split("|")] for line in block.splitlines())
        if head[-1] == last:
            assert all(len(cells) == len(head) for cells in lines)
            rows += [dict(zip(head, cells, strict=True)) for cells in lines]
    return rows


def number(cell: str) -> int:
    return int(cell.replace(",", ""))


def existing_tests(path: str) -> set[str]:
    """The functions of a file whose names begin with ``test``."""
    file = ROOT / path
    tree = ast.parse(file.read_text()) if file.is_file() else ast.Module([], [])
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test")}


def shown(value: Any) -> str:
    """A value as the document writes it."""
    return "null" if value is None else str(value)


def test_every_row_names_a_test() -> None:
    rows = tables("Test")
    assert len(rows) >= 30
    test = r"`tests/\S+\.py::test_\w+`"
    assert [row["Item"] for row in rows if not re.fullmatch(f"{test}(, {test})*", row["Test"])] == []


def test_every_test_that_the_document_names_exists() -> None:
    named = set(re.findall(r"`(tests/\S+?\.py)::(\w+)`", DOCUMENT))
    assert len(named) > 30
    assert [f"{path}::{name}" for path, name in sorted(named) if name not in existing_tests(path)] == []
    assert [path for path in re.findall(r"`((?:tests|alexnet|stages)/[\w/]+\.py)", DOCUMENT) if not (ROOT / path).is_file()] == []


def test_every_recipe_that_the_document_names_exists() -> None:
    found = re.findall(r"recipes? `([\w-]+)`(?: and `([\w-]+)`)?|`RECIPE=([\w-]+)`", DOCUMENT)
    named = {name for names in found for name in names if name}
    assert {"paper-imagenet", "authors-code", "torchvision"} <= named <= {path.stem for path in (ROOT / "recipes").glob("*.yaml")}


def test_the_recipes_have_the_epochs_that_the_document_gives() -> None:
    first, second, *epochs = re.search(r"recipes `([\w-]+)` and `([\w-]+)` have (\d+) and (\d+)", DOCUMENT).groups()  # type: ignore[union-attr]
    assert [settings_of(name)["epochs"] for name in (first, second)] == [int(count) for count in epochs] == [90, 91]


@pytest.mark.parametrize("setting", SWITCHES)
def test_every_switch_has_a_row_with_its_default_and_its_other_values(setting: str) -> None:
    default = settings_of(None)[setting]
    cells = [row["Here"] for row in tables("Test") if f"`{setting}: {shown(default)}`" in row["Here"]]
    assert cells, f"no row has `{setting}: {shown(default)}`"
    others = {shown(value) for value in legal(setting)} - {shown(default)}
    missing = [value for value in others if not any(f"`{value}`" in cell for cell in cells)]
    assert not missing, f"the row of {setting} leaves out {missing}"


def test_every_default_that_the_document_gives_is_the_shipped_one() -> None:
    shipped = settings_of(None)
    said = {(name, value) for row in tables("Test") for name, value in re.findall(r"`([a-z_]+): ([^`]+)`", row["Here"])}
    wrong = [f"{name}: {value}" for name, value in said if name not in shipped or value != shown(shipped[name])]
    assert len(said) > len(SWITCHES)
    assert wrong == []


def test_the_nets_cost_what_the_document_says() -> None:
    rows = [row for row in tables("Forward MACs") if "Net" in row]
    assert {row["Net"].strip("`") for row in rows} == set(NETS)
    for row in rows:
        net, crop = row["Net"].strip("`"), number(row["Crop"])
        found = total(meta_net(net, number(row["Classes"]), crop_size=crop), crop)
        assert (net, found) == (net, Cost(number(row["Parameters"]), number(row["Forward MACs"])))


@pytest.mark.parametrize("crop", [227, 224])
def test_the_papers_layers_cost_what_the_document_says(crop: int) -> None:
    net = meta_net("alexnet", 1000, crop_size=crop)
    rows = [row for row in tables("Forward MACs") if "Layer" in row]
    said = {row["Layer"]: Cost(number(row["Parameters"]), number(row["Forward MACs"])) for row in rows}
    assert said == {**costs(net, crop), "total": total(net, crop)}
