"""What the documents, params.yaml and the recipes name is there: links, settings, recipes, values."""

import re
from pathlib import Path

import pytest
from helpers.staged import params, params_text

from alexnet.config.check import Settings
from alexnet.config.section import flat
from docs import tables
from workflow import recipe

ROOT = Path(__file__).parent.parent
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
TEXTS = {name: (ROOT / name).read_text() for name in DOCUMENTS + [f"recipes/{name}.yaml" for name in recipe.known()]}
TEXTS["params.yaml"] = params_text()
WRITTEN_BY_A_RUN = ("reports/",)


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings."""
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)", text, re.MULTILINE)}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_relative_link_leads_somewhere(document: str) -> None:
    broken = []
    for link, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", TEXTS[document]):
        target = (ROOT / document).parent / link if link else ROOT / document
        if "://" in link or link.startswith(WRITTEN_BY_A_RUN):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            broken.append(f"{link}#{anchor}")
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_is_named_exists(document: str) -> None:
    named = re.findall(r"`((?:alexnet|benchmarks|docs|stages|tests|workflow)/[\w/]+\.\w+)[:`]", TEXTS[document])
    assert [path for path in named if "NAME" not in path and not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", TEXTS)
def test_every_setting_and_recipe_that_is_named_exists(document: str) -> None:
    text = TEXTS[document]
    assert set(re.findall(r"-S '?([a-z][\w.]*)=", text)) <= flat(params()).keys()
    named = re.findall(r"RECIPE=([\w,-]+)", text) + re.findall(r"[Rr]ecipes? `([\w-]+)`", text)
    assert {name for names in named for name in names.split(",")} - {"NAME"} <= set(recipe.known())


def test_params_yaml_lists_every_legal_value_of_every_choice() -> None:
    """In the comment before the setting, or before the settings that it stands with."""
    schemas = tables.declared(Settings.model_json_schema())
    choices = {name: set(re.findall(r"`([^`]+)`", tables.legal(schema))) - {"null"} for name, schema in schemas}
    missing, comment, before = {}, "", ""
    for line in params_text().splitlines():
        if line.lstrip().startswith("#"):
            comment = f"{comment} {line}" if before.startswith("#") else line
        for name, legal in choices.items():
            if re.match(rf"\s*{name.rpartition('.')[2]}:", line) and not legal <= set(re.findall(r"[\w-]+", comment)):
                missing[name] = legal
        before = line.lstrip()
    assert {"model", "data.source", "lrn", "towers", "scale", "pipeline.schedule"} <= {name for name in choices if choices[name]}
    assert missing == {}
