"""What people call classes and files is shown in one line that XML takes, and otherwise as it is."""

import os
import unicodedata
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import pytest

from alexnet.names import printable


def test_every_character_is_shown_in_one_line_of_xml() -> None:
    shown = "".join(printable(chr(code)) for code in range(0x10000))
    assert ElementTree.fromstring(f"<name>{escape(shown)}</name>").text == shown
    assert len(shown.splitlines()) == 1
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize("name", ["cat", "$x^$", ' a, "b"', "back\\slash", "Käse", "猫", "مرحبا", "👩\u200d👧", "a\u00a0b", ""])
def test_what_can_be_shown_stays_as_it_is(name: str) -> None:
    assert printable(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cr\r", "cr\\r"),
        ("line\nbreak", "line\\nbreak"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\u2028b", "a\\u2028b"),
        ("\u202ecat", "\\u202ecat"),
        ("\ufffe", "\\ufffe"),
        (os.fsdecode(b"\xff.jpg"), "\\udcff.jpg"),
    ],
)
def test_what_cannot_be_shown_is_escaped(name: str, shown: str) -> None:
    assert printable(name) == shown
