"""A character is drawn by a font that has it, else its code point is: never a box. No installed font is needed here."""

from __future__ import annotations

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from reno.letters.fonts import FIRST, Fonts
from reno.letters.lines import lines_of, width_of


def make_font(path, letters: str):
    """A font in which each of these letters is a square."""
    pen = TTGlyphPen(None)
    for place, point in enumerate(((0, 0), (0, 900), (900, 900), (900, 0))):
        (pen.lineTo if place else pen.moveTo)(point)
    pen.closePath()
    square = pen.glyph()
    names = [".notdef", *(f"u{ord(char):X}" for char in letters)]
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(names)
    font.setupCharacterMap({ord(char): f"u{ord(char):X}" for char in letters})
    font.setupGlyf(dict.fromkeys(names, square))
    font.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    font.setupHorizontalHeader(ascent=900, descent=-100)
    font.setupNameTable({"familyName": path.stem, "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(path)
    return path


@pytest.fixture(scope="module")
def chinese(tmp_path_factory):
    return make_font(tmp_path_factory.mktemp("fonts") / "Chinese.ttf", "红车")


NONE = Fonts(list)


def test_a_font_is_taken_for_the_letters_that_it_has_and_the_others_are_told(chinese):
    fonts = Fonts(lambda: [chinese])
    assert fonts.drawable("a 红车 🚗 ✓") == "a 红车 [U+1F697] ✓"  # DejaVu Sans has the tick
    assert NONE.drawable("a 红车") == "a [U+7EA2][U+8F66]"
    assert fonts.runs("a 红车!") == [(FIRST, "a "), (chinese, "红车"), (FIRST, "!")]
    assert fonts.paths("a 车") == [chinese] and fonts.families("a 车") == ["DejaVu Sans", "Chinese"]
    assert fonts.families("a car") == ["DejaVu Sans"]


def test_the_machine_is_searched_only_for_what_the_first_font_lacks():
    def search():
        raise AssertionError("searched")

    assert Fonts(search).drawable("a red car → é") == "a red car → é"


def test_what_steers_is_shown_and_what_only_shapes_is_left_out(tmp_path):
    assert NONE.drawable("a\x1b\u202e\nb") == r"a\x1b\u202e\nb"
    assert NONE.drawable("✓\ufe0f\u200d✓") == "✓✓"


def test_a_damaged_font_is_passed_over(tmp_path, chinese):
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    assert Fonts(lambda: [tmp_path / "broken.ttf", chinese]).paths("车") == [chinese]


LINES = [
    ("a red car and a blue cup", ["a red car", "and a blue", "cup"]),
    ("一辆红色的汽车和一个", ["一辆红色的", "汽车和一个"]),
    ("supercalifragilistic", ["supercalif", "ragilistic"]),
    ("[U+8F66][U+8F66]", ["[U+8F66]", "[U+8F66]"]),  # a code point is never broken
    ("a b c d e f g h i j k l m n o p q r s t u v", ["a b c d e", "f g h i j", "k l m n …"]),
    ("", [""]),
]


@pytest.mark.parametrize(("text", "lines"), LINES)
def test_a_text_is_broken_into_lines_in_any_script(text, lines):
    assert lines_of(text, lambda line: width_of(line) <= 10, most=3) == lines
