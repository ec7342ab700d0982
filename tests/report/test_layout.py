"""The page holds class names of any length and script, on wide and narrow screens."""

from pathlib import Path

import pytest
from helpers.browser import CHROMIUM, misfits
from helpers.making import report
from helpers.sample_run import write_run
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from alexnet.report.canvas import shortened

NAMES = [
    "w" * 255, "Donaudampfschifffahrtsgesellschaftskapitän", "猫" * 40, "مرحبا بالعالم " * 4, "👩\u200d👧 family",
    "<b>|`&amp;`$x^$", "tench, Tinca tinca, a freshwater fish of the carp family",
    "M" * 60, "a b " * 30, "n01440764",
]  # fmt: skip


def name(label: int) -> str:
    return NAMES[label % len(NAMES)] + (f" {label}" if label >= len(NAMES) else "")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize(("model", "classes"), [("alexnet", 10), ("alexnet-32", 30), ("alexnet-owt", 1000)])
def test_nothing_sticks_out_at_any_width(tmp_path: Path, model: str, classes: int) -> None:
    write_run(tmp_path, model, classes, name, epochs=4)
    report(tmp_path)
    assert misfits(tmp_path / "reports/index.html", [1400, 390], tmp_path) == []


@pytest.mark.parametrize("text", ["w" * 255, "iiiiiiiiii " * 9, "M" * 60, "Donaudampfschifffahrtsgesellschaftskapitän", "0" * 24])
def test_a_name_is_cut_where_matplotlib_says_that_it_is_too_wide(text: str) -> None:
    def width(text: str) -> float:
        return float(TextPath((0, 0), text, size=100, prop=FontProperties("DejaVu Sans")).get_extents().width)

    cut = shortened(text, 23)
    assert text.startswith(cut.removesuffix("…"))
    assert width(cut) <= width("0" * 23) + 10
    assert width(text[: len(cut) + 1]) > width("0" * 23) - 100 or cut == text
