"""Table 1: method x metric, before, after, and the paired change."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.numbers.effects import Effect, change, level, unchanging
from analysis.numbers.measures import FULLY_BOUND, MEASURES, Measure
from analysis.numbers.slices import Slice
from analysis.tables.columns import GIVEN, before_after, bracketed, counted, effect_columns, spread, starred
from analysis.tables.notes import PRIMARY_NOTE, absences, effects_note, n_note
from analysis.tables.table import Table, table_of
from analysis.text import MISSING, number


def headline(cell: Sequence[Slice]) -> Table:
    """One row a method x metric x settings x judge. cell: the slices of one generator and prompt set, one a judge."""
    rows, shown, effects = [], [], []
    for one in cell:
        for configuration in one.configurations(one.rows):
            row, found, families = _row(one, *configuration)
            rows.append(row)
            shown.append(_shown(one, row, found, families))
            effects += found.values()
    notes = [
        "Before: the image of the initial noise; after: the image with the best score of the optimised metric. "
        f"Shares are of images (fully bound) or of bindings. {n_note(cell, 'trials')}",
        *(["–: not judged, or not scored by that metric."] if any(MISSING in row.values() for row in shown) else []),
        effects_note(effects),
        f"* better or worse than before, by these intervals ({PRIMARY_NOTE}).",
    ]
    title = "What each method does to binding"
    return table_of(cell, 1, "headline", title, pd.DataFrame(rows), pd.DataFrame(shown), notes)


def _measures(one: Slice) -> tuple[Measure, ...]:
    return (*(MEASURES if one.judge else ()), *one.score_measures)


def _row(
    one: Slice, method: str, metric: str, settings: str, trials: pd.DataFrame
) -> tuple[dict[str, object], dict[str, Effect], str]:
    """A row of the frame, the effects in it by measure, and the metric's families."""
    effects = {measure.name: change(trials, measure) for measure in _measures(one)}
    if method == "none":
        effects = {name: unchanging(effect) for name, effect in effects.items()}
    first = next(iter(effects.values()), None)
    families = trials["families"].iloc[0]
    row = {
        "judge": one.judge,
        "kin": one.is_kin(families),
        "method": method,
        "metric": metric,
        "settings": settings,
        "prompts": first.prompts if first else trials["prompt"].nunique(),
        "seeds": first.seeds if first else trials["seed"].nunique(),
        "trials": len(trials),
        "judged": int(trials["fully/best"].notna().sum()) if one.judge else 0,
        **absences(one.absent, method=method, metric=metric, settings=settings),
    }
    for measure in _measures(one):
        effect = effects[measure.name]
        row |= spread(f"{measure.name}_before", level(trials, measure, "initial").interval)
        row |= spread(f"{measure.name}_after", level(trials, measure, "best").interval)
        row |= spread(f"{measure.name}_change", effect.difference)
        row |= effect_columns(effect, one.margin, f"{measure.name}_")
    return row, effects, families


def _shown(one: Slice, row: dict, effects: dict[str, Effect], families: str) -> dict[str, str]:
    shown = {
        "method": row["method"],
        "metric": row["metric"],
        "settings": row["settings"],
        "judge": one.marked(families),
    }
    for measure in _measures(one):
        before, after, found = (row[f"{measure.name}_{what}"] for what in ("before", "after", "verdict"))
        text = (
            MISSING
            if pd.isna(before) and pd.isna(after)
            else before_after(row["method"], number(before), number(after))
        )
        if measure is FULLY_BOUND:
            shown[measure.title] = text
            change_text = starred(bracketed(effects[measure.name].difference), found)
            shown["change"] = MISSING if row["method"] == GIVEN else change_text
        else:
            shown[measure.title] = starred(text, found)
    first = next(iter(effects.values()), None)
    shown["n"] = counted(first) if first else str(row["trials"])
    shown["failed, missing"] = f"{row['failed']}, {row['damaged'] + row['missing']}"
    return shown
