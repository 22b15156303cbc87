"""Numbers, and texts that stay text: in LaTeX, in a cell of Markdown, in the name of a file."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pandas as pd

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}", "'": r"\textquotesingle{}",
    "→": r"$\rightarrow$", "×": r"$\times$", "−": r"$-$", "±": r"$\pm$", "†": r"\dag{}", "·": r"$\cdot$",
    "–": "--", "—": "---", "≥": r"$\geq$", "≤": r"$\leq$", "…": r"\dots{}", "[": "{[}", "]": "{]}",
}  # fmt: skip
"""Brackets too: one after a line break would be read as its optional argument."""


def latex_text(text: object) -> str:
    """A text for LaTeX, on one line. A character that a plain pdfLaTeX cannot set becomes its code point."""
    return "".join(_latex_char(char) for char in _one_line(text))


def _latex_char(char: str) -> str:
    if char in LATEX:
        return LATEX[char]
    if ord(char) < 0x180 and char.isprintable():
        return char
    return f"{{[}}U+{ord(char):04X}{{]}}"


def markdown_text(text: object) -> str:
    """A text for a cell of a Markdown table, on one line, in which nothing is markup or HTML."""
    text = _one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_{}\[\]#|~!$])", r"\\\1", text)
    text = re.sub(r"^(\s*)([-+](?=\s|$)|\d+(?=[.)](?:\s|$)))", _not_a_list, text)
    return re.sub(r"(?i)\b(https?|ftp)(://)|\b(www)(\.)", _unlinked, text)


def _not_a_list(match: re.Match) -> str:
    """A text that begins as an item of a list would, as text."""
    return f"{match[1]}\\{match[2]}" if match[2] in "-+" else f"{match[1]}&#{ord(match[2][0])};{match[2][1:]}"


def _unlinked(match: re.Match) -> str:
    """An address as text: GitHub would link it."""
    return f"{match[1]}:&#47;/" if match[1] else f"{match[3]}&#46;"


def _one_line(text: object) -> str:
    """No line breaks, and nothing that is invisible or reverses what follows."""
    return "".join(" " if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Cs") else char for char in str(text))


def file_name(*parts: object) -> str:
    """Parts as one portable file name; a path keeps its last part."""
    stems = (re.sub(r"[^A-Za-z0-9+.-]+", "_", Path(str(part)).name).strip("._") or "x" for part in parts)
    return "__".join(stem[:60] for stem in stems)


def number(value: float, digits: int = 2, signed: bool = False) -> str:
    """With a true minus sign; what rounds to 0 has no sign, and a missing number is an en dash."""
    if pd.isna(value):
        return "–"
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("+-")
