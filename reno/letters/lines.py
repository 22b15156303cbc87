"""Breaking a text into lines, in any script: Chinese has no spaces, and its letters are twice as wide as Latin ones."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

UNIT = re.compile(r"\[U\+[0-9A-F]+\]|.", re.S)
"""What is never broken: a code point as `fonts.py` writes it, else one character."""


def lines_of(text: str, fits: Callable[[str], bool], most: int) -> list[str]:
    """The text in at most `most` lines that fit; a longer one ends in dots. A line ends at a space, or anywhere in what
    is longer than a line. fits: whether a text is short enough for a line."""
    lines = [""]
    for word in re.findall(r"\S+\s*|\s+", text):
        if lines[-1] and not fits(lines[-1] + word.rstrip()):
            lines.append("")
        for unit in UNIT.findall(word):
            if lines[-1] and not fits(lines[-1] + unit.rstrip()):
                lines.append("")
            lines[-1] += unit
        if len(lines) > most:
            return [*(line.rstrip() for line in lines[: most - 1]), _with_dots(lines[most - 1], fits)]
    return [line.rstrip() for line in lines]


def _with_dots(line: str, fits: Callable[[str], bool]) -> str:
    units = UNIT.findall(line)
    while units and not fits("".join(units).rstrip() + " …"):
        units.pop()
    return "".join(units).rstrip() + " …"


def width_of(text: str) -> int:
    """How many Latin letters a text is wide, roughly."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
