"""Tables as files: CSV with every digit, LaTeX with booktabs, Markdown. Nothing in a prompt becomes markup."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.marks import markdown_rows
from analysis.tables.table import Table
from analysis.text import file_name, latex_text, markdown_text
from reno.letters.harmless import cell

LATEX_ROWS = 40
"""Rows of a table in a paper: more of them, with their notes, do not fit on a page."""


def table_stem(table: Table) -> str:
    """What a table's files are called: `1_headline__sd_turbo__pairs_test`."""
    return file_name(f"{table.number}_{table.name}", table.models, table.prompt_set)


def to_latex(table: Table) -> str:
    """A table* for a two-column paper; needs \\usepackage[T1]{fontenc} and \\usepackage{booktabs,textcomp,graphicx}. A
    table without rows is one line of text."""
    if table.empty:
        return rf"\noindent {latex_text(_only_line(table))}" + "\n"
    shown, cut = table.cut(LATEX_ROWS)
    lines = [
        r"\begin{table*}",
        r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{latex_text(table.caption)}}}",
        rf"\label{{tab:{file_name(table.name, table.models, table.prompt_set)}}}",
        *_latex_rows(table, shown),
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


def _only_line(table: Table) -> str:
    """What there is to say of a table without rows."""
    return " ".join([table.caption, *table.notes[:1]])


def to_markdown(table: Table) -> str:
    """The caption, the rows and the notes. A table without rows is one line of text."""
    if table.empty:
        return f"{markdown_text(_only_line(table))}\n"
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
    """Every column of the frame, at full precision."""
    return csv_text(table.frame)


def csv_text(frame: pd.DataFrame) -> str:
    """A frame as CSV that pandas.read_csv reads and that is safe to open in a spreadsheet: a text that would begin a
    formula has an apostrophe before it, and control characters are shown as escapes."""
    texts = [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
    safe = frame.assign(**{name: frame[name].map(cell) for name in texts}).rename(columns=cell)
    return safe.to_csv(index=False, lineterminator="\n")


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
