"""Table 8: what each method does, by category of the prompts; GenEval's six scores and their mean are rows of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.numbers.effects import level, noises
from analysis.numbers.measures import CORRECT, FULLY_BOUND, JUDGE_SCORE, Measure
from analysis.numbers.slices import Slice
from analysis.numbers.statistics import FEWEST_PROMPTS, Interval
from analysis.tables.columns import before_after, bracketed, spread
from analysis.tables.notes import interval_note, n_note
from analysis.tables.table import Table, empty_table, table_of
from analysis.text import MISSING, number

MEASURES = (FULLY_BOUND, CORRECT, JUDGE_SCORE)
MEANINGS = (
    (
        CORRECT,
        "the judge's word on the whole image: by GenEval's rule; of detector_spatial, that both objects lie as asked.",
    ),
    (JUDGE_SCORE, "that of T2I-CompBench where the judge is blip_vqa; detector_spatial is not its official judge."),
)
MEAN = "mean of categories"


def categories(cell: Sequence[Slice]) -> Table:
    """One row a configuration x judge x category, and one for the mean of the categories."""
    rows, shown = [], []
    for one in cell:
        measures = _measured(one)
        if not measures:
            continue
        for method, metric, settings, trials in one.configurations(one.rows):
            labels = {"judge": one.judge, "method": method, "metric": metric, "settings": settings}
            marked = {**labels, "judge": one.marked(trials["families"].iloc[0])}
            for row, intervals in _rows(trials, measures):
                rows.append(labels | row)
                shown.append(_shown(marked, row, intervals))
    title = "What each method does, by category of the prompts"
    if not rows:
        why = "No prompt here has a category, or no judge looked at them."
        columns = ["judge", "method", "metric", "settings", "category", "prompts", "trials", "n"]
        return empty_table(cell, 8, "categories", title, columns, why)
    kinds = [value for row in rows for key, value in row.items() if key.endswith("_interval")]
    notes = [
        f"Before → after, with the interval of after. {n_note(cell, 'trials')}",
        *(f"{measure.title.capitalize()}: {said}" for measure, said in MEANINGS if measure.title in shown[0]),
        *(
            [f"{MEAN.capitalize()}: every category counts the same."]
            if any(r["category"] == MEAN for r in rows)
            else []
        ),
        interval_note(kinds),
    ]
    return table_of(cell, 8, "categories", title, pd.DataFrame(rows), pd.DataFrame(shown), notes)


def _measured(one: Slice) -> list[Measure]:
    """What the judge says of prompts with a category."""
    if not one.judge:
        return []
    named = one.rows[one.rows["category"] != ""]
    return [measure for measure in MEASURES if named[measure.columns("best")[0]].notna().any()]


def _rows(trials: pd.DataFrame, measures: Sequence[Measure]) -> list[tuple[dict, dict[str, Interval]]]:
    """The rows of one configuration, each with its intervals of after by measure."""
    named = trials[trials["category"] != ""]
    parts = {category: part for category, part in named.groupby("category")}
    found = [(category, part, [part]) for category, part in parts.items()]
    if len(parts) > 1:
        found.append((MEAN, named, list(parts.values())))
    rows = []
    for category, part, groups in found:
        after = {measure.name: level_of_groups(groups, measure, "best") for measure in measures}
        row = {"category": category, "prompts": part["prompt"].nunique(), "trials": len(part), "n": noises(part).times}
        for measure in measures:
            row |= spread(f"{measure.name}_before", level_of_groups(groups, measure, "initial"))
            row |= spread(f"{measure.name}_after", after[measure.name])
        rows.append((row, after))
    return rows


def level_of_groups(groups: Sequence[pd.DataFrame], measure: Measure, image: str) -> Interval:
    """Of one group of trials their level; of several the mean of the levels of those that have one."""
    (column,) = measure.columns(image)
    named = [
        group.assign(group=place, prompt=f"{place} " + group["prompt"])  # a text in two categories is two prompts
        for place, group in enumerate(groups)
        if group[column].notna().any()
    ]
    if not named:
        return Interval(float("nan"), float("nan"), float("nan"), "none")
    found = level(pd.concat(named), measure, image, "group").interval
    fewest = min(group.dropna(subset=[column])["prompt"].nunique() for group in named)
    if fewest < FEWEST_PROMPTS:  # how the prompts of such a category differ is not known
        return Interval(found.value, float("nan"), float("nan"), "none")
    return found


def _shown(labels: dict[str, str], row: dict, after: dict[str, Interval]) -> dict[str, str]:
    names = ("method", "metric", "settings", "judge")
    shown = {**{name: labels[name] for name in names}, "category": row["category"]}
    for measure in MEASURES:
        if measure.name not in after:
            continue
        before, interval = row[f"{measure.name}_before"], after[measure.name]
        none = np.isnan(before) and np.isnan(interval.value)
        shown[measure.title] = (
            MISSING if none else before_after(labels["method"], number(before), bracketed(interval, signed=False))
        )
    return shown | {"n": f"{row['n']} ({row['trials']})"}
