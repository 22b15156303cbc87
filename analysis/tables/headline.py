"""Table 1: method x metric, before, after, and the paired change."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.effects import change, level
from analysis.outcomes import MEASURES, Measure, Slice
from analysis.statistics import holm
from analysis.tables.table import (
    TEST_NOTE,
    Table,
    absences,
    bracketed,
    configurations,
    counted,
    effect_columns,
    interval_note,
    n_note,
    spread,
    starred,
    table_of,
)  # fmt: skip
from analysis.text import number


def headline(cell: Sequence[Slice]) -> Table:
    """One row a method x metric x settings x judge. cell: the slices of one generator and prompt set, one a judge."""
    rows, shown = [], []
    for one in cell:
        part = [_row(one, *configuration) for configuration in configurations(one.rows)]
        names = [measure.name for measure in _measures(one)]
        tested = [(row, name) for row, _ in part for name in names]
        adjusted = holm([row[f"{name}_p"] for row, name in tested])
        for (row, name), p in zip(tested, adjusted, strict=True):
            row[f"{name}_p_holm"] = p
        rows += [row for row, _ in part]
        shown += [_shown(one, *pair) for pair in part]
    kinds = [value for row in rows for key, value in row.items() if key.endswith("_change_interval")]
    notes = [
        "Before: the image of the initial noise; after: the image with the best score of the optimised metric. "
        f"Shares are of images (fully bound) or of bindings. {n_note(cell, 'trials')}",
        interval_note(kinds),
        TEST_NOTE,
    ]
    title = "What each method does to binding"
    return table_of(cell, 1, "headline", title, pd.DataFrame(rows), pd.DataFrame(shown), notes)


def _measures(one: Slice) -> tuple[Measure, ...]:
    return (*(MEASURES if one.judge else ()), *one.score_measures)


def _row(one: Slice, method: str, metric: str, settings: str, trials: pd.DataFrame):
    """A row of the frame, and the effects that are shown."""
    effects = {measure.name: change(trials, measure) for measure in _measures(one)}
    counted_by = next(iter(effects.values()), None)
    families = trials["families"].iloc[0]
    row = {
        "judge": one.judge,
        "kin": one.is_kin(families),
        "method": method,
        "metric": metric,
        "settings": settings,
        "prompts": counted_by.prompts if counted_by else trials["prompt"].nunique(),
        "seeds": counted_by.seeds if counted_by else trials["seed"].nunique(),
        "trials": len(trials),
        "judged": int(trials["fully/best"].notna().sum()) if one.judge else 0,
        **absences(one.absent, method=method, metric=metric, settings=settings),
    }
    for measure in _measures(one):
        effect = effects[measure.name]
        row |= spread(f"{measure.name}_before", level(trials, measure, "initial").interval)
        row |= spread(f"{measure.name}_after", level(trials, measure, "best").interval)
        row |= spread(f"{measure.name}_change", effect.difference)
        row |= effect_columns(effect, f"{measure.name}_")
        if method == "none":
            row[f"{measure.name}_p"] = float("nan")  # before and after are one image: nothing to test
    row["_families"] = families
    return row, effects


def _shown(one: Slice, row: dict, effects: dict) -> dict[str, str]:
    families = row.pop("_families")
    shown = {
        "method": row["method"],
        "metric": row["metric"],
        "settings": row["settings"],
        "judge": one.marked(families),
    }
    for measure in _measures(one):
        before, after = (number(row[f"{measure.name}_{when}"], 2) for when in ("before", "after"))
        star = starred("", row[f"{measure.name}_p_holm"])
        shown[measure.title] = f"{before} → {after}{star}"
        if measure is MEASURES[0]:
            shown["change"] = starred(bracketed(effects[measure.name].difference), row[f"{measure.name}_p_holm"])
            shown[measure.title] = f"{before} → {after}"
    any_effect = next(iter(effects.values()), None)
    shown["n"] = counted(any_effect) if any_effect else str(row["trials"])
    shown["failed, missing"] = f"{row['failed']}, {row['damaged'] + row['missing']}"
    return shown
