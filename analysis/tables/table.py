"""A table: every number in `frame`, what a reader sees in `shown`, and the notes that belong to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.numbers.slices import Slice
from analysis.tables.notes import accounting

MOST_ROWS = 60
"""A table shows no more; its CSV has all."""
TEXT = (
    "judge", "method", "metric", "settings", "measure", "prompt", "binding", "trial", "control", "a vs b", "row", "now",
    "device", "category", "source", "protocol", "kind", "word", "was", "judges", "of", "asked", "instead", "outcome",
    "published is in our interval",
)  # fmt: skip
"""Columns that are set flush left."""


@dataclass(frozen=True)
class Table:
    number: int
    """1 to 18, another for each table of one generator and prompt set; the short ones, for a paper, come first."""
    name: str
    title: str
    models: str
    prompt_set: str
    frame: pd.DataFrame
    """Every number, a column each, at full precision."""
    shown: pd.DataFrame
    """Texts, one column a printed column."""
    notes: tuple[str, ...] = ()
    """Notes on this table."""
    accounting: tuple[str, ...] = ()
    """Notes on every table of this generator and prompt set; where such tables stand together, printed once."""

    @property
    def caption(self) -> str:
        return f"{self.title}. Generator {self.models}, prompts {self.prompt_set}."

    @property
    def all_notes(self) -> tuple[str, ...]:
        """The notes to print where the table stands alone."""
        return (*self.notes, *self.accounting)

    @property
    def empty(self) -> bool:
        """It has no row; its first note says why, and is all there is to read."""
        return not len(self.shown)

    def is_text(self, column: str) -> bool:
        return column in TEXT

    def cut(self, most: int = MOST_ROWS) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """The first rows, and a note if there are more."""
        if len(self.shown) <= most:
            return self.shown, ()
        return self.shown[:most], (f"The first {most} of {len(self.shown)} rows; the CSV has all.",)


def table_of(
    cell: Sequence[Slice], number: int, name: str, title: str, frame: pd.DataFrame, shown: pd.DataFrame,
    notes: Sequence[str],
) -> Table:  # fmt: skip
    """A table of one generator and prompt set. cell: its slices, one a judge."""
    first = cell[0]
    return Table(number, name, title, first.models, first.prompt_set, frame, shown, tuple(notes), accounting(cell))


def empty_table(cell: Sequence[Slice], number: int, name: str, title: str, columns: Sequence[str], why: str) -> Table:
    """A table without rows. columns: those of its frame if it had some; why: one sentence."""
    return table_of(cell, number, name, title, pd.DataFrame(columns=list(columns)), pd.DataFrame(), [why])
