"""The JSON files that the stages hand to each other: what is written comes back, other formats and damage are named."""

import json
from pathlib import Path
from typing import Any

import pytest

from alexnet.errors import UserError
from alexnet.files.card import FORMAT, Card
from alexnet.files.eigenbasis import Eigenbasis
from alexnet.files.shard_index import META, ShardMeta

BASIS: dict[str, Any] = {
    "images": 3,
    "mean": [1.5, 2.0, 3.0],
    "covariance": [[3.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0]],
    "eigenvalues": [3.0, 2.0, 1.0],
    "eigenvectors": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    "order": "RGB",
}
CARD: dict[str, Any] = {
    "format": FORMAT,
    "net": "alexnet",
    "classes": ["cat", "Käse"],
    "size": 256,
    "crop_size": 227,
    "crop_padding": 0,
    "scale": [1.0, 1.0, 1.0],
    "flip": True,
    "eigenbasis": BASIS,
    "settings": {"init_from": None, "lr_milestones": [25, 51], "pipeline.microbatches": 4, "threads": 2},
    "data": {"source": "folder", "images": {"train": 3}, "rejects": 0, "sha256": {"train": "f00d"}},
    "epoch": 1,
    "epochs": 2,
    "parameters": 56_876_418,
    "sha256": "beef",
}
SHARDS: dict[str, Any] = {
    "source": "folder",
    "classes": ["cat", "dog"],
    "mirror": True,
    "size": 256,
    "splits": {
        "train": {"images": 2, "per_class": [1, 1], "shards": [{"file": "train-00000.tar", "bytes": 10, "sha256": "f00d"}]}
    },
    "rejects": 1,
}
FILES = [(Card, CARD, "alexnet.json"), (Eigenbasis, BASIS, "eigenbasis.json"), (ShardMeta, SHARDS, META)]


def put(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize(("kind", "content", "name"), FILES)
def test_a_file_has_these_keys_in_this_order(tmp_path: Path, kind: Any, content: dict[str, Any], name: str) -> None:
    kind.read(put(tmp_path / "given.json", content)).write(tmp_path / name)
    written = (tmp_path / name).read_text(encoding="utf-8")
    assert written == json.dumps(content, indent=2, ensure_ascii=False) + "\n"


@pytest.mark.parametrize(("kind", "content", "name"), FILES)
def test_what_is_missing_or_wrong_in_a_file_is_named(tmp_path: Path, kind: Any, content: dict[str, Any], name: str) -> None:
    path = tmp_path / name
    with pytest.raises(UserError, match=f"{name} is missing; run `dvc repro`"):
        kind.read(path)
    damages: list[Any] = [{}, [], 7, None]
    for damage in damages:
        with pytest.raises(UserError, match=f"{name} is damaged"):
            kind.read(put(path, damage))
    field = list(content)[-1]
    with pytest.raises(UserError, match=f"{name} is damaged: {field} is missing or wrong"):
        kind.read(put(path, {key: value for key, value in content.items() if key != field}))
    with pytest.raises(UserError, match=f"{name} is damaged: {field} is missing or wrong"):
        kind.read(put(path, content | {field: ["rubbish"]}))


@pytest.mark.parametrize(
    ("format", "age"), [(None, "an older version"), (FORMAT - 1, "an older version"), (FORMAT + 1, "a newer version")]
)
def test_a_card_of_another_format_is_refused_by_name(tmp_path: Path, format: int | None, age: str) -> None:
    other = {key: value for key, value in CARD.items() if key != "format"} | ({} if format is None else {"format": format})
    path = put(tmp_path / "alexnet.json", other)
    with pytest.raises(UserError) as refusal:
        Card.read(path)
    assert str(refusal.value).startswith(f"{path} was written by {age} (format {format or 0}, not {FORMAT}); train again")


def test_a_card_whose_format_is_no_number_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"alexnet\.json is damaged: format is missing or wrong"):
        Card.read(put(tmp_path / "alexnet.json", CARD | {"format": "one"}))
