"""`make bench` makes a page of the measurements, whatever fails."""

from importlib import import_module
from pathlib import Path

import pytest
import torch

from alexnet.config.processor import processor
from benchmarks import __main__ as bench
from benchmarks.measure import Comparison, Figures

TINY = '''"""Something beside something."""
import json, sys
row = {"what": "it", "unit": "s", "ours": [2.0], "peer": "they", "theirs": [1.0], "target": 1.5, "at_most": False}
figures = {"comparisons": [row], "left_out": ["it in halves"]}
open(sys.argv[sys.argv.index("--json") + 1], "w").write(json.dumps(figures))
'''


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of measurements: one works, one fails after it has left figures."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    for name, text in {"__init__": "", "broken": TINY + "sys.exit(1)\n", "tiny": TINY}.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.setattr(bench, "HERE", folder)
    monkeypatch.setattr(bench, "PAGE", folder / "README.md")
    monkeypatch.setattr(bench, "NOTES", folder / "notes.md")
    monkeypatch.setattr(bench, "BENCHES", ("broken", "tiny"))
    return folder


def test_a_measurement_that_fails_is_reported_and_the_rest_goes_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main([]) == 1
    assert "error: benchmarks.broken ended with 1\n" in capsys.readouterr().err
    page = (here / "README.md").read_text()
    assert "`broken` ended with 1, so its rows are missing." in page
    assert "1 of 1 targets are met." in page
    assert "| it | 2.00 s | they: 1.00 | **2.00** (2.00–2.00) | ≥ 1.5 | yes |" in page
    assert "\n\nLeft out, as this machine has no bfloat16 instructions: it in halves.\n\n" in page
    assert "- `python -m benchmarks.tiny`: Something beside something." in page


def test_words_about_shortfalls_survive_a_rewrite(here: Path) -> None:
    (here / "notes.md").write_text("## Shortfalls\n\nWhy it is so.\n")
    (here / "README.md").write_text("old")
    bench.main([])
    assert (here / "README.md").read_text().endswith("\n\n## Shortfalls\n\nWhy it is so.\n")


def test_measurements_by_name_are_printed_and_change_no_page(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["tiny"]) == 0
    said = capsys.readouterr().out
    assert "| it | 2.00 s |" in said
    assert said.endswith("\n\nLeft out, as this machine has no bfloat16 instructions: it in halves.\n")
    assert not (here / "README.md").exists()
    with pytest.raises(SystemExit, match="2"):
        bench.main(["tinny"])
    assert "tinny is not a measurement; choose from broken, tiny" in capsys.readouterr().err


def test_the_page_names_the_machine_and_versions() -> None:
    page = bench.page([bench.Outcome("training", Figures([Comparison("it", "s", [1.0], "they", [1.0], 2.0)], []))])
    assert f"torch {torch.__version__.split('+')[0]}" in page
    assert processor() in page
    assert "0 of 1 targets are met." in page


def test_every_measurement_has_its_command_and_its_sentence() -> None:
    assert [name for name in bench.BENCHES if bench.sentence(name) == "not there."] == []
    assert [name for name in bench.BENCHES if not callable(import_module(f"benchmarks.{name}").main)] == []
