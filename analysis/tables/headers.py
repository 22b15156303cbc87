"""What a table without rows still has: the columns of its frame, so that its CSV has a header, and one sentence that
says why it has no row."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pandas as pd

from analysis.numbers.effects import versus
from analysis.numbers.measures import FULLY_BOUND
from analysis.tables.columns import comparison_columns
from analysis.tables.table import Table

NAMED = ["judge", "kin", "method", "metric", "settings"]
GAIN = [
    "method", "metric", "settings", "scorer", "scorer_is", "kin", "before", "after", "gain", "gain_low", "gain_high",
    "gain_interval", "unit", "gain_in_sd", "p", "d_z", "rank_biserial", "prompts", "seeds", "trials", "p_holm",
]  # fmt: skip
SPREADS = [f"{what}{end}" for what in ("broken", "mended") for end in ("", "_low", "_high", "_interval")]
COUNTS = ["prompts", "seeds", "trials"]
NO_REASON = {
    "cross_metric": "No method here optimises, or nothing scored its images.",
    "controls": "ReNO and a control at the same metric did not both run: there is nothing to compare.",
    "broken": "No judge looked at a binding of an optimised image.",
}
"""Why a table has no row, of those that do not say it in their first note."""


def with_header(table: Table) -> Table:
    """The table; if it is empty, with its columns and with the one sentence that says why as its only note."""
    if not table.empty:
        return table
    columns = list(table.frame.columns) or _columns(table.name)
    why = NO_REASON.get(table.name) or next(iter(table.notes), "Nothing was measured.")
    return replace(table, frame=pd.DataFrame(columns=columns), shown=pd.DataFrame(), notes=(why,))


def _columns(name: str) -> list[str]:
    """The columns of a table's frame; of those that depend on what was measured, the ones that every such table has."""
    known = {
        "versus": [*NAMED[:3], "settings", "a", "b", "measure", *_compared()],
        "tuned": [
            "judge", "kin", "row", "a", "settings_a", "dev_a", "b", "settings_b", "dev_b", "measure", *_compared(),
        ],
        "cross_metric": GAIN,
        "controls": [
            "judge", "kin", "metric", "settings", "control", "seconds_ratio", "measure",
            *_compared("reno", "control", "reno", "control_value"),
        ],
        "broken": [
            *NAMED, "right_before", "broken_count", "wrong_before", "mended_count", *SPREADS, *COUNTS,
        ],
        "broken_trials": [*NAMED, "prompt", "seed", "attribute", "object", "now", "trial"],
        "categories": ["judge", "method", "metric", "settings", "category", "prompts", "trials", "n"],
    }  # fmt: skip
    return known.get(name, NAMED)


@cache
def _compared(*sides: str) -> list[str]:
    """The columns of a comparison."""
    nothing = pd.DataFrame(columns=["prompt", "seed", *FULLY_BOUND.columns("best")], dtype=float)
    return list(comparison_columns(versus(nothing, nothing, FULLY_BOUND), float("nan"), *sides))
