"""Prompts come from anywhere. Here a text loses its power over what shows it: a terminal, a spreadsheet, a page.

Nothing is left out: a control character is shown as its escape, so that a reader sees that it was there. The store
keeps every prompt as it was typed.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from typing import Any

DRIVING = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode's categories of characters that steer instead of being seen: controls (ESC, BEL, line breaks), formats (those
that reverse the direction), halves of characters, line and paragraph separators."""
JOINERS = "\u200c\u200d"
"""Formats that Persian, the scripts of India and emoji need to look right."""
FORMULA = re.compile(r"(^|;)(?=\s*[=+\-@＝＋－＠])")
"""Where a spreadsheet would begin a formula. In half of Europe it also splits a line at semicolons."""
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*%?\s*", re.I | re.A)


def visible(text: str, keep: str = "") -> str:
    """The text with an escape such as `\\x1b`, `\\n` or `\\u202e` for each character that steers. keep: characters that
    stay."""
    if text.isprintable():
        return text
    return "".join(_escape(char) if _drives(char) and char not in keep else char for char in text)


def _drives(char: str) -> bool:
    return unicodedata.category(char) in DRIVING and char not in JOINERS


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()


def cell(value: Any) -> Any:
    """A cell of a table for spreadsheets. A text that would begin a formula gets an apostrophe; numbers, and texts that
    are numbers, stay as they are."""
    if not isinstance(value, str):
        return value
    text = visible(value)
    return text if NUMBER.fullmatch(text) else FORMULA.sub(r"\1'", text)


def typed(command: str) -> str:
    """A command with nothing in it that steers. It still does what it did: a word that holds such a character is
    written as `$'...'`, which bash and zsh read."""
    if visible(command) == command:
        return command
    try:
        words = shlex.split(command)
    except ValueError:  # not what a shell would take: shown, not run
        return visible(command)
    return " ".join(shlex.quote(word) if visible(word) == word else _ansi_quoted(word) for word in words)


def _ansi_quoted(word: str) -> str:
    quoted = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{visible(quoted)}'"
