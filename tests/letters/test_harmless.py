"""No character of a text steers what shows it, and nothing is left out."""

from __future__ import annotations

import subprocess
import unicodedata

import pytest

from reno.letters.harmless import DRIVING, JOINERS, cell, typed, visible

VISIBLE = [
    ("a red car", "a red car"),
    ("café → 车 🚗", "café → 车 🚗"),
    ("\x1b[2J\x07", r"\x1b[2J\x07"),
    ("\x9b31m", r"\x9b31m"),
    ("a\u202ecar\u2066b\u200f", r"a\u202ecar\u2066b\u200f"),
    ("a\nb\tc\r", r"a\nb\tc\r"),
    ("\udc80", r"\udc80"),
    ("\u2028\ufeff\U000e0041", r"\u2028\ufeff\U000e0041"),
    ("👨\u200d👩 می\u200cروم", "👨\u200d👩 می\u200cروم"),  # a family and Persian are not themselves without joiners
]


@pytest.mark.parametrize(("text", "shown"), VISIBLE)
def test_what_steers_is_shown_as_its_escape(text, shown):
    assert visible(text) == shown
    assert visible(shown) == shown


def test_every_character_of_unicode_that_steers_is_shown():
    for char in map(chr, range(0x110000)):
        steers = unicodedata.category(char) in DRIVING and char not in JOINERS
        assert (visible(char) != char) == steers, hex(ord(char))


def test_a_page_keeps_its_line_breaks():
    assert visible("a\n\x1bb", keep="\n") == "a\n\\x1bb"


CELLS = [
    ("=1+1", "'=1+1"),
    ("+1+1", "'+1+1"),
    ("-1+1", "'-1+1"),
    ("@SUM(1)", "'@SUM(1)"),
    ("  =1+1", "'  =1+1"),
    ("＝1+1", "'＝1+1"),
    ("\t=1+1", r"\t=1+1"),
    ("\r=1+1", r"\r=1+1"),
    ("a;=1+1", "a;'=1+1"),  # a semicolon splits cells where the comma is the decimal sign
    ("a = b - c", "a = b - c"),
    ("-0.5", "-0.5"),
    ("+1e-3", "+1e-3"),
    ("-12.5 %", "-12.5 %"),
    ("−0.10 [0.00, 0.20]*", "−0.10 [0.00, 0.20]*"),
    (-0.5, -0.5),
    (-3, -3),
    (None, None),
]


@pytest.mark.parametrize(("value", "written"), CELLS)
def test_a_cell_is_no_formula_and_a_number_stays_one(value, written):
    assert cell(value) == written and type(cell(value)) is type(value)


def test_a_command_with_such_characters_still_does_what_it_did():
    word = "prompt=it's \x1b[31m\\n a\nb\u202e"
    shown = typed("printf %s " + "'" + word.replace("'", "'\\''") + "'")
    assert visible(shown) == shown
    said = subprocess.run(
        ["bash", "-c", shown], capture_output=True, env={"LC_ALL": "C.UTF-8", "PATH": "/bin:/usr/bin"}
    )
    assert said.stdout.decode() == word
    assert typed("python -m reno.run 'a b'") == "python -m reno.run 'a b'"
    assert typed("it's \x1b broken") == r"it's \x1b broken"
