"""``predict`` as a program's input: JSON, CSV, lists on stdin, folders; and what the commands say of themselves."""

import csv
import io
import json
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.asked import Asked
from helpers.asking import ask

import alexnet
from alexnet.__main__ import NAMES


def stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))


def test_a_folder_a_list_and_files_give_the_same_answers(
    asked: Asked, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More images than a batch has, and a broken one among them, which has its own line."""
    model = ("--json", "--top", "2", "--model", asked.model)
    expected = alexnet.load(asked.model).predict(asked.images, top=2)
    stdin(monkeypatch, "\n".join(map(str, asked.images)).encode())
    for images in ([asked.folder], ["-"], asked.images):
        assert ask("predict", *images, *model) == (2 if images == [asked.folder] else 0)
        printed = capsys.readouterr()
        lines = [json.loads(line) for line in printed.out.splitlines()]
        broken = [line for line in lines if "error" in line]
        if images == [asked.folder]:
            assert broken == [{"file": f"{asked.folder}/dog/broken.png", "error": "truncated"}]
            assert printed.err.count("broken.png cannot be read as an image (truncated)") == 1
        answers = [line for line in lines if "top" in line]
        assert [line["file"] for line in answers] == [str(image) for image in asked.images]
        assert [[guess["class"] for guess in line["top"]] for line in answers] == [
            [guess.name for guess in guesses] for guesses in expected
        ]


def test_csv_has_a_row_for_each_class_and_an_image_may_come_from_stdin(
    asked: Asked, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin(monkeypatch, asked.images[0].read_bytes())
    assert ask("predict", "-", asked.images[0], "--csv", "--top", "3", "--ten-crop", "--model", asked.model) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    (expected,) = alexnet.load(asked.model).predict(asked.images[0], top=3, ten_crop=True)
    for number, (row, guess) in enumerate(zip(rows, [*expected, *expected], strict=True)):
        assert (row["file"], row["rank"]) == ("-" if number < 3 else str(asked.images[0]), str(number % 3 + 1))
        assert row["class"] == guess.name
        assert float(row["probability"]) == pytest.approx(guess.probability, rel=1e-5)


def test_a_missing_file_is_answered_with_the_nearest_name(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask("predict", asked.folder / "cat/000.png", "--model", asked.model) == 2
    assert capsys.readouterr().err.endswith(f"(No such file or directory); did you mean {asked.folder}/cat/00.png?\n")
    assert ask("predct") == 2
    assert capsys.readouterr().err == "error: there is no command predct; did you mean predict?\n"
    assert ask("predict", "-", "--top", "0") == 2
    assert capsys.readouterr().err == "error: --top: 0 is not valid; choose 1 or more\n"


@pytest.mark.parametrize("name", NAMES)
def test_the_help_of_each_command_has_an_example_that_its_parser_takes(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(name, "--help") == 0
    example = capsys.readouterr().out.split("example:\n")[1].strip()
    words = shlex.split(example.split(" > ")[0])
    assert words[:4] == ["python", "-m", "alexnet", name]
    monkeypatch.chdir(tmp_path)
    assert ask(*words[3:]) == 2  # no model is here
    assert "is missing" in capsys.readouterr().err
