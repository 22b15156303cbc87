"""Table 11: from each state of a binding before to its state after, so what each metric mends and breaks, by kind of
fault."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.numbers.bindings import FAULTS, RIGHT, share
from analysis.numbers.slices import Slice
from analysis.numbers.tuning import by_metric
from analysis.tables.columns import bracketed, spread
from analysis.tables.notes import interval_note, settings_note
from analysis.tables.table import Table, empty_table, table_of

STATES = (RIGHT, *FAULTS)
HEADS = dict(zip(STATES, ("right", "elsewhere", "attr. missing", "obj. missing", "both missing"), strict=True))
COLUMNS = (
    "judge", "kin", "method", "metric", "settings", "before", "bindings", "prompts",
    *(f"after {state}" for state in STATES), "right", "right_low", "right_high", "right_interval",
)  # fmt: skip


def faults(cell: Sequence[Slice], slices: Sequence[Slice]) -> Table:
    """One row a metric x judge x state before. States that no binding had are left out."""
    rows, shown = [], []
    for one in cell:
        picked, all_fates = by_metric(slices, one), one.fates
        for metric, trials in picked.items():
            fates = all_fates[all_fates["trial"].isin(set(trials["trial"]))]
            for state in STATES:
                was = fates["was"] == state
                if was.any():
                    row, line = _row(one, trials.iloc[0], metric, state, fates, was)
                    rows.append(row)
                    shown.append(line)
    title = "What optimisation mends and breaks, by kind of fault"
    if not rows:
        return empty_table(cell, 11, "faults", title, COLUMNS, "No judge looked at a binding of an optimised image.")
    notes = [
        "Counts of bindings: the row is what a binding was before, the columns are what it is after. Elsewhere: the "
        "object and the attribute are both there, but not on each other. Object missing: its attribute is there, on "
        f"something else. {settings_note(rows)}",
        "Share right: of the bindings of the row. " + interval_note([row["right_interval"] for row in rows]),
    ]
    return table_of(cell, 11, "faults", title, pd.DataFrame(rows), pd.DataFrame(shown), notes)


def _row(
    one: Slice, first: pd.Series, metric: str, state: str, fates: pd.DataFrame, was: pd.Series
) -> tuple[dict, dict[str, str]]:
    """A row of the frame, and the line that shows it. was: which of the fates are of this state before."""
    counts = fates.loc[was, "now"].value_counts()
    right = share(fates, fates["is_right"], was)
    row = {
        "judge": one.judge,
        "kin": one.is_kin(first["families"]),
        "method": first["method"],
        "metric": metric,
        "settings": first["settings"],
        "before": state,
        "bindings": int(was.sum()),
        "prompts": right.prompts,
        **{f"after {now}": int(counts.get(now, 0)) for now in STATES},
        **spread("right", right.interval),
    }
    line = {
        "metric": metric,
        "judge": one.marked(first["families"]),
        "was": state,
        "bindings": str(row["bindings"]),
        **{head: str(row[f"after {now}"]) for now, head in HEADS.items()},
        "share right [95%]": bracketed(right.interval, signed=False),
    }
    return row, line
