"""Table 4: optimised by row, scored by column: what one metric's gain is worth to the others and to the judges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from analysis.data.names import label_of
from analysis.numbers.effects import Effect, change
from analysis.numbers.measures import FULLY_BOUND, Measure
from analysis.numbers.slices import KIN_MARK, Slice, families_by_metric
from analysis.tables.columns import EFFECT, bracketed, counted, effect_columns, spread, starred
from analysis.tables.notes import effects_note, n_note
from analysis.tables.table import Table, empty_table, table_of
from analysis.text import MISSING, number

TITLE = "Optimised by row, scored by column"
FRAME = (
    "method", "metric", "settings", "scorer", "scorer_is", "kin", "before", "after", "gain", "gain_low", "gain_high",
    "gain_interval", "unit", "gain_in_sd", *EFFECT, "prompts", "seeds", "trials",
)  # fmt: skip


def cross_metric(cell: Sequence[Slice]) -> Table:
    """The frame has a row a configuration x scorer; shown is a row a configuration, a column a scorer.

    A metric's gain is best minus initial, in its own units and in standard deviations of its score over the initial
    images of these trials, so that columns can be compared; a judge's is that of the share of images fully bound.
    """
    first = cell[0]
    rows: list[dict] = []
    lines: dict[tuple[str, str, str], dict[str, str]] = {}
    counts: dict[tuple[str, str, str], Effect] = {}
    effects: list[Effect] = []
    for key, families, scorer, effect in _gains(cell):
        about = dict(zip(("method", "metric", "settings"), key, strict=True))
        rows.append(about | _row(first, families, scorer, effect))
        lines.setdefault(key, about)[f"{rows[-1]['scorer']} ({rows[-1]['scorer_is']})"] = _cell(rows[-1], effect)
        effects.append(effect)
        counts[key] = max(counts.get(key, effect), effect, key=lambda one: one.pairs)
    shown = [line | {"n": counted(counts[key])} for key, line in lines.items()]
    if not rows:
        empty = "Nothing was optimised here, or no metric and no judge scored it: there is no gain to show."
        return empty_table(cell, 4, "cross_metric", TITLE, FRAME, empty)
    notes = (
        "Gain from the initial to the best image. Metrics: in their own units, and in standard deviations (sd) "
        "of their score over the initial images, if it varies there; judges: of the share of images fully bound. "
        f"{n_note(cell, 'trials')}",
        effects_note(effects),
        "* higher or lower than before, by these intervals.",
    )
    return table_of(cell, 4, "cross_metric", TITLE, pd.DataFrame(rows), pd.DataFrame(shown), notes)


def _gains(cell: Sequence[Slice]) -> Iterator[tuple[tuple[str, str, str], str, Measure | Slice, Effect]]:
    """(configuration, its families, the scorer, its gain): a scorer is a metric's measure or a judge's slice."""
    first = cell[0]
    for method, metric, settings, trials in first.configurations(first.rows):
        if method == "none":
            continue
        key, families = (method, metric, settings), trials["families"].iloc[0]
        for measure in first.score_measures:
            yield key, families, measure, change(trials, measure)
        for one in cell:
            if one.judge:
                seen = one.select(method=method, metric=metric, settings=settings)
                yield key, families, one, change(seen, FULLY_BOUND)


def _row(first: Slice, families: str, scorer: Measure | Slice, effect: Effect) -> dict:
    if isinstance(scorer, Slice):
        name, is_kin, unit = scorer.judge, scorer.is_kin(families), float("nan")
    else:
        name = scorer.name.removeprefix("score:")
        is_kin = bool(_families(first, name) & set(families.split()))
        starts = first.rows.drop_duplicates(["prompt", "seed"])[scorer.columns("initial")[0]]
        unit = float(starts.std())
    return {
        "scorer": name,
        "scorer_is": "judge" if isinstance(scorer, Slice) else "metric",
        "kin": is_kin,
        "before": effect.b,
        "after": effect.a,
        **spread("gain", effect.difference),
        "unit": unit,
        "gain_in_sd": effect.difference.value / unit if unit > 0 else float("nan"),
        **effect_columns(effect, first.margin),
        "prompts": effect.prompts,
        "seeds": effect.seeds,
        "trials": effect.pairs,
    }


def _families(one: Slice, scorer: str) -> set[str]:
    """The families of the metric with this label; of one that was only recorded, the label is all that is known."""
    known = families_by_metric(one.rows, one.metrics)
    found = [families for metric, families in known.items() if label_of(metric) == scorer]
    return {family for families in found for family in families.split()} or {scorer}


def _cell(row: dict, effect: Effect) -> str:
    if not effect.pairs:
        return MISSING
    text = starred(bracketed(effect.difference), row["verdict"])
    if row["scorer_is"] == "judge":
        return text + KIN_MARK * row["kin"]
    return text if pd.isna(row["gain_in_sd"]) else f"{text} = {number(row['gain_in_sd'], 1, signed=True)} sd"
