"""Texts as Hydra reads them. A shell hands over `results=/x/café`; Hydra's grammar wants `results='/x/café'`."""

from __future__ import annotations

import re
from collections.abc import Callable

PLAIN = re.compile(r"(?!(?:true|false|null|nan|inf)\Z)[A-Z_/][\w./:@+-]*", re.A | re.I)
"""A text that Hydra reads as that text without quotes."""
STRANGE = re.compile(r"[^\w\s/\\+.$%*@?|:=,()\[\]{}'\"-]|[\n\r\v\f\x1c-\x1f]", re.A)
"""A character that Hydra reads only inside quotes."""
CALL = re.compile(r"(?:choice|range|interval|glob|sort|shuffle|tag|str|int|float|bool)\(.*\)", re.S)
"""One of Hydra's functions, such as `range(1,4)`."""
PIECE = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\s*(,|\Z)|([^,]*)(,|\Z)""", re.S)
"""What stands between two commas; a comma inside quotes does not count."""


def quote(text: str) -> str:
    """A text as a quoted value of Hydra's override grammar."""
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)  # no reference to another value, whatever stands before it
    text = re.sub(r"(\\+)(?='|\Z)", r"\1\1", text)  # backslashes count only before a quote
    return "'" + text.replace("'", "\\'") + "'"


def as_text(text: str) -> str:
    """The value of a knob that takes any text: in quotes, unless it is null, or has quotes or brackets already."""
    return text if _has_form(text) or PLAIN.fullmatch(text) else quote(text)


def as_value(text: str) -> str:
    """The value of any other knob: in quotes only if Hydra could not read it without."""
    return text if _has_form(text) or "${" in text or not STRANGE.search(text) else quote(text)


def each(values: str, as_read: Callable[[str], str]) -> str:
    """One value, or several between commas, each as Hydra reads it by `as_read`."""
    if CALL.fullmatch(values):
        return values
    if values[:1] == "[":
        inner = values[1:-1]
        strange = values[-1:] == "]" and STRANGE.search(inner) and not re.search(r"[\[\]{}]", inner)
        return f"[{each(inner, as_value)}]" if strange else values
    pieces = _pieces(values)
    return values if any(piece[:1] in ("[", "{") for piece in pieces) else ",".join(map(as_read, pieces))


def _pieces(values: str) -> list[str]:
    found = []
    for match in PIECE.finditer(values):
        found.append((match[1] or match[3] or "").strip())
        if not (match[2] or match[4]):  # no comma after it
            return found
    return found


def _has_form(text: str) -> bool:
    return text[:1] in ("[", "{", "'", '"') or text.lower() == "null"
