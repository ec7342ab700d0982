"""What the documents, params.yaml and the recipes name is there: links, settings, recipes, values."""

import ast
import re
import sys
from code import InteractiveConsole
from collections.abc import Iterator
from importlib import import_module
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
    text = re.sub(r"```.*?```", "", TEXTS[document], flags=re.DOTALL)
    for link, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", text):
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


def messages() -> Iterator[str]:
    """All texts in the code and the Makefile; what is filled in is an ellipsis."""
    yield (ROOT / "Makefile").read_text()
    for folder in ("alexnet", "stages", "workflow"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def test_every_message_that_the_guide_explains_is_one_of_the_codes() -> None:
    rows = TEXTS["docs/guide.md"].partition("## Troubleshooting")[2].splitlines()
    explained = [message for row in rows if row.startswith("| `") for message in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert len(explained) > 20
    known = "\n".join(messages())
    assert [message for message in explained if message.strip("… ") not in known] == []


def test_the_lesson_uses_names_that_exist() -> None:
    lesson = ast.parse("\n".join(re.findall(r"```python\n(.*?)```", TEXTS["docs/lesson.md"], re.DOTALL)))
    imports = [(node.module, name.name) for node in ast.walk(lesson) if isinstance(node, ast.ImportFrom) for name in node.names]
    assert len(imports) > 5
    assert [name for module, name in imports if not hasattr(import_module(module or ""), name)] == []


def test_the_blocks_of_the_lesson_can_be_pasted_at_pythons_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Python 3.13 the prompt wants an empty line behind an indented block."""
    prompt = InteractiveConsole()
    refused: list[object] = []
    monkeypatch.setattr(prompt, "runcode", lambda code: None)
    monkeypatch.setattr(prompt, "showsyntaxerror", lambda *names, **more: refused.append(sys.exception()))
    for block in re.findall(r"```python\n(.*?)```", TEXTS["docs/lesson.md"], re.DOTALL):
        for line in [*block.splitlines(), ""]:
            prompt.push(line)
    assert refused == []
