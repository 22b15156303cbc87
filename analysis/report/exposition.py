"""How a table is printed: what is the same in every row is said once, and long tables are cut."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.report.words import meaning_of
from analysis.tables import Table
from analysis.tables.table import MOST_ROWS

COUNTS = ("n", "unpaired", "failed, missing", "batch")
"""Columns of numbers that are said once as well where they are the same in every row."""


@dataclass(frozen=True)
class Column:
    name: str
    kind: str
    """`text`, set flush left, or `number`."""
    meaning: str
    """What it is, where its name does not say all."""


@dataclass(frozen=True)
class Printed:
    """A table as the page and the paper print it."""

    number: int
    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    same: str
    """What is the same in every row, in words; empty if nothing is."""
    notes: tuple[str, ...]
    of: int
    """Rows of the whole table."""

    @property
    def size(self) -> str:
        return "1 row" if self.of == 1 else f"{self.of} rows"

    @property
    def why_empty(self) -> str:
        return self.notes[0] if self.notes else "It has no rows."


def printed(table: Table, most: int = MOST_ROWS) -> Printed:
    """The first `most` rows of a table, and the notes under it, among them that there are more."""
    shown, cut = table.cut(most)
    same = _same(table)
    columns = [name for name in shown.columns if name not in same]
    said = ", ".join(f"{name} {value}" for name, value in same.items())
    return Printed(
        number=table.number,
        name=table.name,
        caption=table.caption,
        columns=tuple(
            Column(name, "text" if table.is_text(name) else "number", meaning_of(name)) for name in columns
        ),
        rows=tuple(tuple(unbroken(str(cell)) for cell in row) for row in shown[columns].itertuples(index=False)),
        same=f"In every row: {said}." if said else "",
        notes=(*table.notes, *cut),
        of=len(table.shown),
    )  # fmt: skip


def _same(table: Table) -> dict[str, str]:
    """By column, the value that all rows of the whole table have. One column of texts is left to name the rows."""
    rows = table.shown
    if len(rows) < 2:
        return {}
    candidates = [name for name in rows.columns if table.is_text(name) or name in COUNTS]
    same = {name: str(rows[name].iloc[0]) for name in candidates if rows[name].nunique(dropna=False) == 1}
    texts = [name for name in rows.columns if table.is_text(name)]
    if texts and all(name in same for name in texts):
        del same[texts[0]]
    return same


def unbroken(cell: str) -> str:
    """The cell with spaces at which no line ends inside an interval, around an arrow and after a number: a narrow
    column then breaks it between a value and its interval."""
    cell = re.sub(r"\[[^\]]*\]", lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), cell)
    return re.sub(r" ([→×=/]) ", "\N{NO-BREAK SPACE}\\1\N{NO-BREAK SPACE}", cell)


def texts_of(tables: Sequence[Printed]) -> list[str]:
    """Everything that a reader meets in these tables."""
    found = []
    for one in tables:
        found += [one.caption, one.same, *one.notes, *(column.name for column in one.columns)]
        found += [cell for row in one.rows for cell in row if not cell[:1].isdigit()]
    return found
