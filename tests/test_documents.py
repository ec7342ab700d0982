"""What README, docs and params.yaml say is there: links, settings and their values, nets, recipes."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.nets import meta_net
from helpers.staged import params_text

from alexnet.errors import UserError
from alexnet.config.nets import NETS
from alexnet.config.check import check
from alexnet.tracking.client import flat
from stages import recipe

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PARAMS = params_text()
DOCUMENTS = ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
WRITTEN_BY_A_RUN = ("reports/",)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_relative_link_leads_somewhere(document: str) -> None:
    text = (ROOT / document).read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert [
        link for link in links if not link.startswith(WRITTEN_BY_A_RUN) and not (ROOT / document).parent.joinpath(link).exists()
    ] == []


def test_the_readme_names_only_settings_that_exist() -> None:
    named = set(re.findall(r"-S '?(?:\w+\.)*(\w+)=", README))
    assert {"lr", "source", "root"} <= named
    assert all(re.search(rf"^\s*{name}:", PARAMS, re.MULTILINE) for name in named)


def rows(header: str) -> list[list[str]]:
    """The cells of the README's table whose first column is headed so."""
    table = re.search(rf"^\| {re.escape(header)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", README, re.MULTILINE)
    assert table, header
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()]


def words(cell: str) -> list[str]:
    """What a cell has in backquotes."""
    return re.findall(r"`([^`]+)`", cell)


def test_the_table_of_nets_is_that_of_the_settings() -> None:
    table = {words(net)[0]: (parameters, words(name)) for net, _, parameters, name in rows("Net (`model`)")}
    assert table.keys() == NETS.keys()
    for net, (parameters, named) in table.items():
        count, classes = (int(number.replace(",", "")) for number in re.findall(r"[\d,]+", parameters))
        assert sum(weight.numel() for weight in meta_net(net, classes).parameters()) == count, net
        assert named == ([NETS[net].recipe] if NETS[net].recipe else []), net


def test_the_table_of_recipes_names_each_once() -> None:
    assert sorted(name for row in rows("Recipe") for name in words(row[0])) == recipe.known()


@pytest.mark.parametrize("document", [*DOCUMENTS, "params.yaml", *(f"recipes/{name}.yaml" for name in recipe.known())])
def test_only_recipes_that_exist_are_named(document: str) -> None:
    text = PARAMS if document == "params.yaml" else (ROOT / document).read_text()
    named = re.findall(r"RECIPE=([\w,-]+)", text)
    assert {name for names in named for name in names.split(",")} - {"NAME"} <= set(recipe.known())


def choices(shipped: Callable[[], dict[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    """Settings of which only some words or numbers are legal, with those, as the settings' check says them."""
    for key in flat(shipped()):
        try:
            check(recipe.applied(shipped(), {key: "no such value"}))
        except UserError as refusal:
            legal = re.search(r"refused: it should be (.* or .*)", str(refusal))
            if legal and "valid" not in legal[1]:
                yield key, re.findall(r"[\w.-]+", legal[1].replace(" or ", " "))


def test_params_yaml_lists_every_legal_value_of_every_choice(shipped: Callable[[], dict[str, Any]]) -> None:
    found = dict(choices(shipped))
    assert {"model", "lrn", "towers", "scale", "optimizer", "keep", "data.source", "pipeline.schedule"} <= found.keys()
    lines = PARAMS.splitlines()
    for key, legal in found.items():
        at = next(n for n, line in enumerate(lines) if re.match(rf"\s*{key.rpartition('.')[2]}:", line))
        last = next(n for n in range(at, -1, -1) if lines[n].lstrip().startswith("#"))
        first = next(n for n in range(last, -1, -1) if not lines[n].lstrip().startswith("#"))
        comment = " ".join(lines[first + 1 : last + 1])
        assert set(legal) <= set(re.findall(r"[\w-]+", comment)), key


def test_the_readmes_table_of_settings_has_every_legal_value_and_says_where_the_shipped_one_is_not_the_papers(
    shipped: Callable[[], dict[str, Any]],
) -> None:
    found, standing = dict(choices(shipped)), flat(shipped())
    departures = dict(
        re.findall(r"`(\w+): (\w+)`", README[README.index("params.yaml ships the paper's values but for") :].split(".\n")[0])
    )
    for names, papers, others in rows("Setting"):
        values = [*words(papers), *["empty"] * ("empty" in papers)]
        for name, value in zip(words(names), values, strict=True):
            assert departures.get(name, value) == ("empty" if standing[name] is None else str(standing[name])), name
            assert set(found.get(name, [])) <= {value, *words(others)}, name
    assert all(str(standing[name]) == value for name, value in departures.items())
