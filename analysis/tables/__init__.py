"""The tables, for each generator and prompt set.

for table in all_tables(results, slices(results)):
    write_table(table, Path("report/tables"))
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from analysis.data import Results
from analysis.numbers.slices import Slice
from analysis.tables.best_of_n import best_of_n
from analysis.tables.broken import broken, broken_trials
from analysis.tables.categories import categories
from analysis.tables.controls import controls
from analysis.tables.cost import cost
from analysis.tables.cross import cross_metric
from analysis.tables.expected import expected
from analysis.tables.faults import faults
from analysis.tables.gains import gains
from analysis.tables.headline import headline
from analysis.tables.instead import instead
from analysis.tables.judges import judges
from analysis.tables.table import Table
from analysis.tables.tuned import tuned
from analysis.tables.variance import variance
from analysis.tables.versus import metric_against_metric
from analysis.tables.words import by_kind, by_word

__all__ = ["Table", "all_tables", "cells", "tables_of"]


def cells(slices: Sequence[Slice]) -> list[list[Slice]]:
    """The slices by generator and prompt set; one slice a judge in each."""
    return [list(group) for _, group in groupby(slices, key=lambda one: (one.models, one.prompt_set))]


def tables_of(cell: Sequence[Slice], slices: Sequence[Slice], results: Results) -> list[Table]:
    """The tables of one generator and prompt set, in the order of their numbers. The eighth is left out where no prompt
    has a category, the ninth where nothing is published."""
    by_category = [categories(cell)] if (cell[0].rows["category"] != "").any() else []
    beside = expected(cell)
    return [
        headline(cell),
        metric_against_metric(cell),
        tuned(cell, slices),
        cross_metric(cell),
        controls(cell, results),
        broken(cell),
        cost(cell),
        *by_category,
        *([beside] if beside else []),
        by_kind(cell, slices),
        faults(cell, slices),
        judges(cell, results),
        gains(cell, slices),
        best_of_n(cell, results),
        variance(cell, slices),
        instead(cell, slices),
        by_word(cell, slices),
        broken_trials(cell),
    ]


def all_tables(results: Results, slices: Sequence[Slice]) -> Iterator[Table]:
    for cell in cells(slices):
        yield from tables_of(cell, slices, results)
