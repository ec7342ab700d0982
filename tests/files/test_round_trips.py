"""Cards, statistics, descriptions, manifests and settings come back as they were written, whatever they hold."""

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.cards import card_of
from helpers.nets import settings_of
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from alexnet.config.check import check
from alexnet.errors import UserError
from alexnet.files.card import Card, Lineage
from alexnet.files.eigenbasis import Eigenbasis
from alexnet.files.record import Record
from alexnet.files.shard_index import Shard, ShardMeta, SplitMeta
from alexnet.sources import manifest
from alexnet.sources.manifest import SPLITS, Manifest, Row
from stages.command import read_yaml

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
POSITIVE = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
VECTORS = st.lists(NUMBERS, min_size=3, max_size=3)
COUNTS = st.integers(0, 2**40)
NAMES = st.lists(st.text(max_size=200), min_size=1, max_size=5)
STATISTICS = st.builds(
    Eigenbasis,
    images=COUNTS,
    mean=VECTORS,
    covariance=st.lists(VECTORS, min_size=3, max_size=3),
    eigenvalues=VECTORS,
    eigenvectors=st.lists(VECTORS, min_size=3, max_size=3),
    order=st.just("RGB"),
)
VALUES = st.one_of(st.none(), st.booleans(), st.integers(), NUMBERS, st.text(), st.lists(st.integers(), max_size=3))
CARDS = st.builds(
    card_of,
    names=NAMES,
    eigenbasis=STATISTICS.map(Eigenbasis.model_dump),
    scale=st.lists(POSITIVE, min_size=3, max_size=3),
    settings=st.dictionaries(st.text(), VALUES, max_size=5).map(lambda settings: settings | {"threads": 3}),
    data=st.builds(Lineage, rejects=COUNTS, images=st.dictionaries(st.text(), COUNTS)).map(Lineage.model_dump),
    sha256=st.text(),
)
SHARDS = st.builds(Shard, file=st.from_regex(r"\A[a-z]+-[0-9]{5}\.tar\Z"), bytes=st.integers(1, 2**50))
DESCRIPTIONS = st.builds(
    ShardMeta,
    classes=NAMES,
    size=st.integers(1, 1024),
    splits=st.dictionaries(
        st.sampled_from(SPLITS),
        st.builds(SplitMeta, images=COUNTS, per_class=st.lists(COUNTS, max_size=3), shards=st.lists(SHARDS, max_size=3)),
    ),
    rejects=COUNTS,
)


@given(st.one_of(STATISTICS, CARDS, DESCRIPTIONS))
def test_a_record_comes_back(tmp_path: Path, record: Record) -> None:
    record.write(tmp_path / "one.json")
    read = type(record).read(tmp_path / "one.json")
    assert read == record
    read.write(tmp_path / "other.json")
    assert (tmp_path / "other.json").read_bytes() == (tmp_path / "one.json").read_bytes()


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_no_number_that_is_not_finite_is_read(tmp_path: Path, number: str) -> None:
    card_of().write(tmp_path / "card.json")
    text = (tmp_path / "card.json").read_text().replace('"scale": [\n    1.0,', f'"scale": [\n    {number},')
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(UserError, match=r"card\.json is damaged: scale\.0 is missing or wrong"):
        Card.read(tmp_path / "card.json")


BYTES = st.binary(min_size=1, max_size=255).map(os.fsdecode)
ROWS = st.lists(
    st.builds(
        Row, st.sampled_from(SPLITS), st.integers(0, 1), st.one_of(st.text(min_size=1), BYTES), COUNTS, COUNTS, st.just("f00d")
    ),
    max_size=8,
).map(lambda rows: sorted(rows, key=lambda row: SPLITS.index(row.split)))


@given(
    st.builds(
        Manifest,
        source=st.text(),
        classes=st.lists(st.text(), min_size=2, max_size=3),
        pixels=st.sampled_from(["encoded", "planar-rgb-32"]),
        rows=ROWS,
    )
)
def test_a_manifest_comes_back(tmp_path: Path, written: Manifest) -> None:
    manifest.write(tmp_path, written)
    read = manifest.read(tmp_path)
    assert replace(read, rows=list(read.rows)) == written


GOOD = '"train",0,"a.jpg",0,5,"f00d"\n"val",1,"b.jpg",0,5,"f00d"\n'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"train",0', '"train",2'),
        ('"train",0', '"train",-1'),
        ('"train",0', '"dev",0'),
        ('"train",0', '"test",0'),
        ('"a.jpg",0,5', '"a.jpg",-7,5'),
        ('"a.jpg",0,5', '"a.jpg",0,-1'),
        ('"a.jpg",0,5', '"a.jpg",0,' + "9" * 5000),
        ('"a.jpg",0,5', '"a.jpg",nan,5'),
        ('"a.jpg"', '"a.jpg","b.jpg"'),
        ('"a.jpg"', '"' + 200_000 * "a" + '"'),
    ],
)
def test_a_row_that_points_nowhere_is_refused(tmp_path: Path, old: str, new: str) -> None:
    manifest.write(tmp_path, Manifest("folder", ["cat", "dog"], True, "encoded", None, []))
    table = tmp_path / "manifest.csv"
    table.write_text(table.read_text() + GOOD)
    assert len(manifest.read(tmp_path).rows) == 2
    table.write_text(table.read_text().replace(old, new))
    with pytest.raises(UserError, match=r"manifest\.csv is damaged.*; run `dvc repro -f -s download` to make it again"):
        manifest.read(tmp_path)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "seed": st.integers(0, 2**62 - 1),
            "lr": st.floats(0, 1e9, exclude_min=True),
            "weight_decay": st.floats(0, 1e9),
            "momentum": st.floats(0, 1, exclude_max=True),
            "lr_milestones": st.lists(st.integers(1, 10**9), max_size=5),
            "flip": st.one_of(st.none(), st.booleans()),
            "data.source": st.just("folder"),
            "data.limit": st.one_of(st.none(), st.integers(1, 10**9)),
            "data.root": st.text(min_size=1),
            "machine.workers": st.one_of(st.none(), st.integers(1, 1024)),
        },
    )
)
def test_settings_come_back(tmp_path: Path, changes: dict[str, Any]) -> None:
    if changes.get("data.source") and "data.root" not in changes:
        changes = changes | {"data.root": "images"}
    settings = settings_of(None, **changes)
    text = io.StringIO()
    YAML().dump(settings, text)
    (tmp_path / "params.yaml").write_text(text.getvalue(), encoding="utf-8")
    assert check(read_yaml(tmp_path / "params.yaml")).model_dump(mode="json") == settings
