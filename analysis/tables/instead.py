"""Table 16: what came instead, of the bindings that do not hold."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.numbers.slices import Slice, families_of
from analysis.numbers.tuning import by_metric
from analysis.tables.notes import settings_note
from analysis.tables.table import Table, empty_table, table_of

COLUMNS = ("judge", "kin", "method", "metric", "settings", "asked", "instead", "bindings", "before", "after")


def instead(cell: Sequence[Slice], slices: Sequence[Slice]) -> Table:
    """One row an attribute x what came instead x judge; the frame has one for each metric too.

    What came instead is the attribute that the object has, or, where the judge does not tell, the kind of fault.
    """
    rows, shown = [], []
    for one in cell:
        picked = by_metric(slices, one)
        if not picked:
            continue
        trials = pd.concat(picked.values())
        fates = _came(one.fates)
        fates = fates[fates["trial"].isin(set(trials["trial"]))]
        judge = one.marked(families_of(trials))
        for asked, found in _pairs(fates):
            own = [
                _row(one, picked[metric].iloc[0], fates[fates["metric"] == metric], asked, found) for metric in picked
            ]
            rows += own
            counts = {name: " / ".join(dict.fromkeys(str(row[name]) for row in own)) for name in ("bindings", "before")}
            after = {row["metric"]: str(row["after"]) for row in own}
            shown.append({"asked": asked, "instead": found, "judge": judge, **counts, **after})
    title = "What came instead"
    if not rows:
        why = "No judge found a binding of an optimised trial wrong, before or after."
        return empty_table(cell, 16, "instead", title, COLUMNS, why)
    notes = [
        "Counts of bindings that do not hold, before and, for each metric, after. Instead: the attribute that the "
        "object has in place of the one asked for; where the object is missing, or the judge does not tell what it "
        "has, the kind of fault. mixed: two attributes, or one between two. Bindings: all that ask for the attribute. "
        f"{settings_note(rows)}",
    ]
    return table_of(cell, 16, "instead", title, pd.DataFrame(rows), pd.DataFrame(shown), notes)


def _came(fates: pd.DataFrame) -> pd.DataFrame:
    """With `before` and `after`: what came instead, empty for a binding that holds."""
    sides = {"before": ("was", "was_right", "was_instead"), "after": ("now", "is_right", "now_instead")}
    came = {}
    for side, (fate, right, told) in sides.items():
        came[side] = fates[told].where(fates[told] != "", fates[fate]).where(~fates[right].astype(bool), "")
    return fates.assign(**came)


def _pairs(fates: pd.DataFrame) -> list[tuple[str, str]]:
    """(asked, instead), the most frequent first."""
    both = pd.concat(
        [fates[["attribute", side]].set_axis(["asked", "instead"], axis=1) for side in ("before", "after")]
    )
    counts = both[both["instead"] != ""].value_counts()
    by_attribute = counts.groupby("asked").sum()
    return sorted(counts.index, key=lambda pair: (-by_attribute[pair[0]], pair[0], -counts[pair], pair[1]))


def _row(one: Slice, first: pd.Series, fates: pd.DataFrame, asked: str, found: str) -> dict:
    """A row of the frame. first: a trial of its configuration; fates: of that configuration."""
    own = fates[fates["attribute"] == asked]
    return {
        "judge": one.judge,
        "kin": one.is_kin(first["families"]),
        **{name: first[name] for name in ("method", "metric", "settings")},
        "asked": asked,
        "instead": found,
        "bindings": len(own),
        "before": int((own["before"] == found).sum()),
        "after": int((own["after"] == found).sum()),
    }
