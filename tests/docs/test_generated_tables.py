"""The tables in the documents are those of the registries, the settings, the recipes and the costs."""

import shutil
import sys
from pathlib import Path

import pytest
from helpers.staged import params_text

from docs import tables

ROOT = Path(__file__).parents[2]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["tables", *arguments])
    tables.main()


def test_the_documents_are_up_to_date_and_have_every_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    run(monkeypatch, "--check")
    documents = "".join(path.read_text() for path in (ROOT / "docs").glob("*.md")) + (ROOT / "README.md").read_text()
    assert {found[2] for found in tables.BLOCK.finditer(documents)} == tables.TABLES.keys()


def test_a_changed_table_is_noticed_and_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(ROOT / "README.md", tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=lambda _, names: [name for name in names if ".md" not in name])
    (tmp_path / "params.yaml").write_text(params_text())
    settings = tmp_path / "docs/settings.md"
    right = settings.read_text()
    settings.write_text(right.replace("| `0.9` |", "| `0.8` |"))
    assert settings.read_text() != right
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, "--check")
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "error: docs/settings.md is not up to date; run `python -m docs.tables`\n"
    run(monkeypatch)
    assert settings.read_text() == right
