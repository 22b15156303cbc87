"""Tables as files: CSV with every digit, LaTeX with booktabs, Markdown. Whatever a prompt holds stays text."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pandas as pd

from analysis.tables.table import Table
from reno.marks import markdown_rows

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}", "'": r"\textquotesingle{}",
    "→": r"$\rightarrow$", "×": r"$\times$", "−": r"$-$", "±": r"$\pm$", "†": r"\dag{}", "·": r"$\cdot$",
    "–": "--", "—": "---", "≥": r"$\geq$", "≤": r"$\leq$", "…": r"\dots{}", "[": "{[}", "]": "{]}",
}  # fmt: skip
"""Brackets too: one after a line break would be read as its optional argument."""

LATEX_ROWS = 40
"""Rows of a table in a paper: more, with their notes, are higher than a page."""


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


def table_stem(table: Table) -> str:
    """What a table's files are called: `1_headline__sd_turbo__pairs_test`."""
    return file_name(f"{table.number}_{table.name}", table.models, table.prompt_set)


def to_latex(table: Table) -> str:
    """A table* for a two-column paper; needs \\usepackage[T1]{fontenc} and \\usepackage{booktabs,textcomp,graphicx}."""
    shown, cut = table.cut(LATEX_ROWS)
    lines = [
        r"\begin{table*}",
        r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{latex_text(table.caption)}}}",
        rf"\label{{tab:{file_name(table.name, table.models, table.prompt_set)}}}",
        *(_latex_rows(table, shown) if len(shown.columns) else []),
        *(
            rf"\par\smallskip\parbox{{\linewidth}}{{\scriptsize {latex_text(note)}}}"
            for note in (*table.all_notes, *cut)
        ),
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def _latex_rows(table: Table, shown: pd.DataFrame) -> list[str]:
    """The tabular, no wider than the page."""
    return [
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{''.join('l' if table.is_text(name) else 'r' for name in shown.columns)}}}",
        r"\toprule",
        " & ".join(latex_text(name) for name in shown.columns) + r" \\",
        r"\midrule",
        *(" & ".join(latex_text(cell) for cell in row) + r" \\" for row in shown.itertuples(index=False, name=None)),
        r"\bottomrule",
        r"\end{tabular}}",
    ]


def to_markdown(table: Table) -> str:
    shown, cut = table.cut()
    lines = [f"**{markdown_text(table.caption)}**", "", *markdown_table(table, shown)]
    lines += [""] + [f"- {markdown_text(note)}" for note in (*table.all_notes, *cut)]
    return "\n".join(lines) + "\n"


def markdown_table(table: Table, shown: pd.DataFrame) -> list[str]:
    """The lines of some of the table's columns and rows; none where there is no column."""
    if not len(shown.columns):
        return []
    rows = [[markdown_text(cell) for cell in row] for row in shown.itertuples(index=False, name=None)]
    numeric = [not table.is_text(name) for name in shown.columns]
    return markdown_rows([markdown_text(name) for name in shown.columns], numeric, rows)


def to_csv(table: Table) -> str:
    """Every column of the frame, at full precision; reads back with pandas.read_csv."""
    return table.frame.to_csv(index=False, lineterminator="\n")


def write_table(table: Table, folder: Path) -> list[Path]:
    """Writes the three formats; answers with their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = table_stem(table)
    paths = []
    for suffix, write in (("csv", to_csv), ("tex", to_latex), ("md", to_markdown)):
        path = folder / f"{stem}.{suffix}"
        path.write_bytes(write(table).encode("utf-8", "replace"))
        paths.append(path)
    return paths


def number(value: float, digits: int = 2, signed: bool = False) -> str:
    """With a true minus sign; what rounds to 0 has no sign, and a missing number is an en dash."""
    if pd.isna(value):
        return "–"
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("+-")
