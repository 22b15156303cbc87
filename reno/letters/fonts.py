"""Fonts that have a text's letters: DejaVu Sans, which comes with matplotlib, and for what it lacks (Chinese, Japanese,
Korean, most emoji) whatever this machine has installed.

A character that no font has is shown as its code point, `[U+8F66]`, and never as a box.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from itertools import groupby
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from reno.letters.harmless import visible

FIRST = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
FAMILY = "DejaVu Sans"


class Fonts:
    """DejaVu Sans and others, asked in their order."""

    def __init__(self, search: Callable[[], Sequence[Path]]) -> None:
        """search: finds the others. It is called only if a text needs one, since it takes a moment."""
        self._search = search
        self._found: dict[str, Path | None] = {}

    @cached_property
    def _others(self) -> tuple[Path, ...]:
        return tuple(self._search())

    def font_for(self, char: str) -> Path | None:
        """The first font that has the character; None if none has it."""
        if char not in self._found:
            has = ord(char) in _letters(FIRST)
            self._found[char] = FIRST if has else next((p for p in self._others if ord(char) in _letters(p)), None)
        return self._found[char]

    def drawable(self, text: object) -> str:
        """The text, visible and on one line, with the code point of each character that no font has. Marks that only
        choose between shapes of the character before them are left out."""
        return "".join(map(self._drawn, visible(str(text))))

    def _drawn(self, char: str) -> str:
        if char.isascii():
            return char
        if unicodedata.category(char) == "Cf" or "\ufe00" <= char <= "\ufe0f":
            return ""
        return char if self.font_for(char) else f"[U+{ord(char):04X}]"

    def runs(self, text: str) -> list[tuple[Path, str]]:
        """A drawable text in pieces of one font each."""
        return [(path, "".join(run)) for path, run in groupby(text, lambda char: self.font_for(char) or FIRST)]

    def paths(self, text: str) -> list[Path]:
        """The fonts that a text needs besides DejaVu Sans, in the order of their first letters."""
        return [path for path in dict.fromkeys(map(self.font_for, dict.fromkeys(text))) if path not in (None, FIRST)]

    def families(self, text: str) -> list[str]:
        """The families that matplotlib needs for a text, DejaVu Sans first."""
        names = [FAMILY]
        logging.getLogger(font_manager.__name__).setLevel(logging.ERROR)  # it warns of a family without a bold font
        for path in self.paths(text):
            font_manager.fontManager.addfont(path)
            names.append(font_manager.FontProperties(fname=path).get_name())
        return names


@cache
def of_this_machine() -> Fonts:
    """All fonts that are installed, upright sans-serif ones first."""
    return Fonts(lambda: sorted(filter(_drawn_for_reading, map(Path, font_manager.findSystemFonts())), key=_plainness))


def _drawn_for_reading(path: Path) -> bool:
    """Not a font whose every character is a box or nothing."""
    return not re.search(r"last.?resort|adobe.?blank", path.stem.lower())


def _plainness(path: Path) -> tuple[bool, bool, str]:
    name = path.stem.lower()
    fancy = re.search(r"bold|black|light|thin|medium|italic|oblique|mono|condensed", name)
    return bool(fancy), not re.search(r"sans|gothic|hei", name), name


@cache
def _letters(path: Path) -> frozenset[int]:
    """The code points that a font has; none if it is made of bitmaps, as most coloured emoji are: matplotlib cannot
    draw those."""
    try:
        font = FT2Font(str(path))
        return frozenset(font.get_charmap()) if font.scalable else frozenset()
    except (RuntimeError, OSError, ValueError):  # damaged
        return frozenset()
