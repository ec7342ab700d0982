"""Contenders take turns fairly, and ratios are what the rounds gave."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from benchmarks.measure import HEADER, Comparison, Figures, apart, parser, read, table, take_turns, tell


def compared(ours: list[float], theirs: list[float], target: float, at_most: bool = False) -> Comparison:
    return Comparison("what", "s", ours, "peer", theirs, target, at_most)


def test_the_ratio_is_the_median_of_the_rounds_ratios_and_not_that_of_the_medians() -> None:
    one = compared([1.0, 20.0, 300.0], [1.0, 40.0, 100.0], 2)
    assert one.ratios == [1.0, 0.5, 3.0]
    assert one.ratio == 1.0  # of the medians, 20 / 40, it would be a half


def test_a_target_is_a_least_or_a_most() -> None:
    assert compared([2.0], [1.0], 2).met
    assert not compared([1.9], [1.0], 2).met
    assert compared([2.0], [1.0], 2, at_most=True).met
    assert not compared([2.1], [1.0], 2, at_most=True).met


def test_contenders_take_turns_every_other_round_in_reverse() -> None:
    called: list[str] = []

    def note(name: str) -> float:
        called.append(name)
        return float(len(called))

    figures = take_turns({name: partial(note, name) for name in "abc"}, rounds=3)
    assert called == list("abccbaabc")
    assert figures == {"a": [1, 6, 7], "b": [2, 5, 8], "c": [3, 4, 9]}


def count_here(start: float) -> Callable[[], float]:
    """A contender that counts its calls, and tells its process by the part behind the point."""
    calls = [start]

    def count() -> float:
        calls[0] += 1
        return calls[0] + os.getpid() / 1e8

    return count


def end_early() -> Callable[[], float]:
    def end() -> float:
        os._exit(3)

    return end


def test_contenders_apart_live_on_in_processes_of_their_own() -> None:
    with apart({"one": partial(count_here, 0.0), "ten": partial(count_here, 10.0)}) as contenders:
        figures = [contenders[name]() for name in ("one", "ten", "one")]
        assert [int(figure) for figure in figures] == [1, 11, 2]
        pids = [round(figure % 1 * 1e8) for figure in figures]
        assert pids[0] == pids[2]
        assert len({*pids, os.getpid()}) == 3
    for pid in pids:
        assert not Path(f"/proc/{pid}").exists()


def test_a_contender_that_dies_is_named() -> None:
    with (
        pytest.raises(RuntimeError, match="the process of weak ended before it answered"),
        apart({"strong": partial(count_here, 0.0), "weak": end_early}) as contenders,
    ):
        contenders["strong"]()
        contenders["weak"]()


def test_what_is_reported_is_printed_as_a_table_and_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    comparisons = [compared([1234.5, 1300.0], [1000.0, 1000.0], 1.2), compared([0.00123], [0.1], 0.02, at_most=True)]
    tell(comparisons, parser("what", rounds=1).parse_args(["--json", str(tmp_path / "figures.json")]))
    assert read(tmp_path / "figures.json") == Figures(comparisons, [])
    assert capsys.readouterr().out.strip() == table(comparisons)
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(comparisons).splitlines()]
    assert lines[0] == list(HEADER)
    assert lines[2][1:] == ["1,267 s", "peer: 1,000", "**1.27** (1.23–1.30)", "≥ 1.2", "yes"]
    assert lines[3][1:] == ["0.00123 s", "peer: 0.100", "**0.012** (0.012–0.012)", "≤ 0.02", "yes"]


def test_rows_that_are_left_out_are_reported_and_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = compared([1.0], [1.0], 1)
    tell([row], parser("what", rounds=1).parse_args(["--json", str(tmp_path / "figures.json")]), ["this", "that"])
    assert read(tmp_path / "figures.json") == Figures([row], ["this", "that"])
    assert capsys.readouterr().out.endswith("\n\nLeft out, as this machine has no bfloat16 instructions: this; that.\n")
