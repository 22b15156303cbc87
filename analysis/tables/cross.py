"""Table 4: optimised by row, scored by column: what one metric's gain is worth to the others and to the judges."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.effects import Effect, change
from analysis.outcomes import BY_NAME, Measure, Slice
from analysis.statistics import holm
from analysis.tables.table import (
    TEST_NOTE,
    Table,
    bracketed,
    configurations,
    counted,
    interval_note,
    n_note,
    spread,
    starred,
    table_of,
)  # fmt: skip
from analysis.text import number


def cross_metric(cell: Sequence[Slice]) -> Table:
    """The frame has a row a configuration x scorer; shown is a row a configuration, a column a scorer.

    A metric's gain is best minus initial, in its own units and in standard deviations of its score over the initial
    images of these trials, so that columns compare; a judge's is that of the share of images fully bound.
    """
    first = cell[0]
    rows, shown = [], []
    for method, metric, settings, trials in configurations(first.rows):
        if method == "none":
            continue
        found = [(measure, None, change(trials, measure)) for measure in first.score_measures]
        for one in cell:
            if one.judge:
                seen = one.select(method=method, metric=metric, settings=settings)
                found.append((BY_NAME["fully_bound"], one, change(seen, BY_NAME["fully_bound"])))
        for measure, judge, effect in found:
            rows.append(_row(first, method, metric, settings, trials, measure, judge, effect))
        shown.append(({"method": method, "metric": metric, "settings": settings}, len(found)))
    adjusted = iter(holm([row["p"] for row in rows]))
    at = 0
    lines = []
    for line, count in shown:
        own = rows[at : at + count]
        for row in own:
            row["p_holm"] = next(adjusted)
            line[_heading(row)] = _cell(row)
        line["n"] = counted(max((row["_effect"] for row in own), key=lambda effect: effect.pairs))
        lines.append(line)
        at += count
    frame = pd.DataFrame([{key: value for key, value in row.items() if key != "_effect"} for row in rows])
    notes = (
        "Gain from the initial to the best image. Metrics: in their own units, and in standard deviations (sd) "
        "of their score over the initial images; judges: of the share of images fully bound. "
        f"{n_note(cell, 'trials')}",
        interval_note([row["gain_interval"] for row in rows]),
        TEST_NOTE.replace(" and judge", ""),
    )
    title = "Optimised by row, scored by column"
    return table_of(cell, 4, "cross_metric", title, frame, pd.DataFrame(lines), notes)


def _row(
    one: Slice, method: str, metric: str, settings: str, trials: pd.DataFrame, measure: Measure, judge: Slice | None,
    effect: Effect,
) -> dict:  # fmt: skip
    families = trials["families"].iloc[0]
    scorer = judge.judge if judge else measure.name.removeprefix("score:")
    unit = float("nan")
    if judge is None:
        starts = one.rows.drop_duplicates(["prompt", "seed"])[measure.columns("initial")[0]]
        unit = float(starts.std())
    return {
        "method": method,
        "metric": metric,
        "settings": settings,
        "scorer": scorer,
        "scorer_is": "judge" if judge else "metric",
        "kin": judge.is_kin(families) if judge else scorer.split("_")[0] in families.split(),
        "before": effect.b,
        "after": effect.a,
        **spread("gain", effect.difference),
        "unit": unit,
        "gain_in_sd": effect.difference.value / unit if unit > 0 else float("nan"),
        "p": effect.p,
        "d_z": effect.d_z,
        "rank_biserial": effect.rank_biserial,
        "prompts": effect.prompts,
        "seeds": effect.seeds,
        "trials": effect.pairs,
        "_effect": effect,
    }


def _heading(row: dict) -> str:
    return f"{row['scorer']} (judge)" if row["scorer_is"] == "judge" else f"{row['scorer']} (metric)"


def _cell(row: dict) -> str:
    from analysis.outcomes import KIN_MARK

    text = bracketed(row["_effect"].difference)
    if row["scorer_is"] == "metric":
        return starred(text, row["p_holm"]) + f" = {number(row['gain_in_sd'], 1, signed=True)} sd"
    return starred(text, row["p_holm"]) + (KIN_MARK if row["kin"] else "")
