"""Numbers as texts, and texts escaped for LaTeX, for a cell of Markdown and for the name of a file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from reno.letters.harmless import visible

MISSING = "–"

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}", "'": r"\textquotesingle{}",
    "→": r"$\rightarrow$", "×": r"$\times$", "−": r"$-$", "±": r"$\pm$", "†": r"\dag{}", "·": r"$\cdot$",
    "–": "--", "—": "---", "≥": r"$\geq$", "≤": r"$\leq$", "…": r"\dots{}", "[": "{[}", "]": "{]}",
}  # fmt: skip
"""Brackets too: LaTeX reads one after a line break as the line break's optional argument."""


def latex_text(text: object) -> str:
    """A text for LaTeX, on one line. A character that a plain pdfLaTeX cannot set becomes its code point."""
    return "".join(_latex_char(char) for char in visible(str(text)))


def _latex_char(char: str) -> str:
    if char in LATEX:
        return LATEX[char]
    if ord(char) < 0x180 and char.isprintable():
        return char
    return f"{{[}}U+{ord(char):04X}{{]}}"


def markdown_text(text: object) -> str:
    """A text for a cell of a Markdown table, on one line, in which nothing is markup or HTML."""
    text = visible(str(text)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_{}\[\]#|~!$])", r"\\\1", text)
    text = re.sub(r"^(\s*)([-+](?=\s|$)|\d+(?=[.)](?:\s|$)))", _not_a_list, text)
    return re.sub(r"(?i)\b(https?|ftp)(://)|\b(www)(\.)", _unlinked, text)


def _not_a_list(match: re.Match) -> str:
    """Escapes the beginning of a text that Markdown would read as an item of a list."""
    return f"{match[1]}\\{match[2]}" if match[2] in "-+" else f"{match[1]}&#{ord(match[2][0])};{match[2][1:]}"


def _unlinked(match: re.Match) -> str:
    """Escapes an address, which GitHub would make a link of."""
    return f"{match[1]}:&#47;/" if match[1] else f"{match[3]}&#46;"


def file_name(*parts: object) -> str:
    """Parts as one portable file name: two names differ where their parts do. A path keeps its last part, a suite its
    benchmark and version; what is lost of a part has six digits of its SHA-256 in its place."""
    return "__".join(_stem(str(part)) for part in parts)


def _stem(part: str) -> str:
    kept = part if "@" in part else Path(part).name
    stem = re.sub(r"[^A-Za-z0-9+.-]+", "_", kept).strip("._")[:60] or "x"
    if stem == part or re.fullmatch(r"[a-z0-9_]+/[a-z0-9_]+@\d+", part):
        return stem
    return f"{stem}-{hashlib.sha256(part.encode('utf-8', 'surrogatepass')).hexdigest()[:6]}"


def number(value: float, digits: int = 2, signed: bool = False) -> str:
    """With a true minus sign; what rounds to 0 has no sign, and a missing number is MISSING."""
    if pd.isna(value):
        return MISSING
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("+-")


def listed(words: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
