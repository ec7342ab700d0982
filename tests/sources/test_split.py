"""Splits are stratified, seeded and stable; a limit keeps the classes even."""

from collections import Counter

import pytest

from alexnet.errors import UserError
from alexnet.sources.manifest import Row
from alexnet.sources.split import complete, limit

CLASSES = ["cat", "dog", "eel"]
ROWS = [Row("train", label, f"{CLASSES[label]}/{number}.jpg") for label in range(3) for number in range(50 * (label + 1))]


def count(rows: list[Row]) -> Counter[tuple[str, int]]:
    return Counter((row.split, row.label) for row in rows)


def test_every_class_gives_its_part_the_test_first() -> None:
    rows = complete(ROWS, 0.25, 0.2, 0, CLASSES)
    assert [row.path for row in rows] == [row.path for row in ROWS]
    for label, images in enumerate((50, 100, 150)):
        assert count(rows)["test", label] == images / 5
        assert count(rows)["val", label] == images / 5  # a quarter of the four fifths left
        assert count(rows)["train", label] == images * 3 / 5


def test_a_split_that_the_source_has_is_left_alone() -> None:
    own = [*ROWS, Row("test", 0, "test/cat/0.jpg")]
    assert count(complete(own, 0.2, 0.2, 0, CLASSES))["test", 0] == 1
    assert count(complete(own, 0.2, 0.2, 0, CLASSES))["test", 1] == 0


def test_the_seed_decides_and_a_new_image_moves_few_others() -> None:
    rows = complete(ROWS, 0.2, 0.2, 0, CLASSES)
    assert rows == complete(ROWS, 0.2, 0.2, 0, CLASSES)
    assert rows != complete(ROWS, 0.2, 0.2, 1, CLASSES)
    more = complete([Row("train", 0, "cat/new.jpg"), *ROWS], 0.2, 0.2, 0, CLASSES)[1:]
    assert sum(ours != theirs for ours, theirs in zip(more, rows, strict=True)) <= 2


def test_a_class_too_small_to_divide_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"class eel has 1 images.*data.test_fraction: 0.2"):
        complete([row for row in ROWS if row.label < 2] + [Row("train", 2, "eel/0.jpg")], 0.2, 0.2, 0, CLASSES)


def test_a_class_too_small_to_divide_is_only_trained_on_if_the_source_asks_for_it() -> None:
    eels = [Row("train", 2, f"eel/{number}.jpg") for number in range(2)]
    rows = complete([*ROWS[:50], *eels], 0.2, 0.2, 0, CLASSES, keep_small=True)
    assert [count(rows)[split, 2] for split in ("train", "val", "test")] == [1, 0, 1]
    assert count(complete([*ROWS[:50], eels[0]], 0.2, 0.2, 0, CLASSES, keep_small=True))["train", 2] == 1


def test_a_limit_holds_for_each_split_and_keeps_classes_even() -> None:
    rows = limit(complete(ROWS, 0.2, 0.2, 0, CLASSES), 20, 0, CLASSES)
    assert Counter(row.split for row in rows) == {"train": 20, "val": 20, "test": 20}
    assert sorted(count(rows)["train", label] for label in range(3)) == [6, 7, 7]
    assert limit(ROWS[:49] + ROWS[-2:], 40, 0, CLASSES).count(ROWS[-1]) == 1, "a small class is kept whole"
    assert len(limit(ROWS, 10_000, 0, CLASSES)) == len(ROWS)


def test_a_limit_below_the_classes_is_refused() -> None:
    with pytest.raises(UserError, match=r"data.limit: 2 is less than the 3 classes"):
        limit(ROWS, 2, 0, CLASSES)
