"""Tables 6 and 18: what optimisation broke (right before, wrong after) and mended (the other way round), counted and
named."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd

from analysis.data import Results
from analysis.numbers.bindings import binding_fates
from analysis.numbers.effects import level
from analysis.numbers.measures import Measure
from analysis.numbers.slices import Slice
from analysis.tables.columns import bracketed, counted, spread
from analysis.tables.notes import interval_note, n_note
from analysis.tables.table import Table, table_of
from analysis.text import number

BROKEN = Measure("broken", "broken, of right before", "broken", "right", better=-1)
MENDED = Measure("mended", "mended, of wrong before", "mended", "wrong")
ORDER = ["judge", "method", "metric", "settings", "prompt", "seed", "place"]


def broken(cell: Sequence[Slice], results: Results) -> Table:
    """How many bindings: one row a configuration x judge."""
    rows, shown = [], []
    for one in cell:
        fates = binding_fates(one, results)
        for method, metric, settings, trials in one.configurations(one.rows):
            part = fates[fates["trial"].isin(set(trials["trial"]))]
            if method == "none" or part.empty:
                continue
            row, line = _row(one, method, metric, settings, trials["families"].iloc[0], part)
            rows.append(row)
            shown.append(line)
    notes = [
        f"Of single bindings: right before and wrong after, and the other way round. {n_note(cell, 'trials')} "
        "Table 18 names the trials.",
        interval_note([row[f"{name}_interval"] for row in rows for name in ("broken", "mended")]),
    ]
    title = "What optimisation broke and mended"
    return table_of(cell, 6, "broken", title, pd.DataFrame(rows), pd.DataFrame(shown), notes)


def broken_trials(cell: Sequence[Slice], results: Results) -> Table:
    """Which bindings: one row a broken binding x judge."""
    frames = []
    for one in cell:
        fates = binding_fates(one, results)
        lost = fates[fates["was_right"] & ~fates["is_right"] & (fates["method"] != "none")]
        if len(lost):
            marks = {names: one.marked(names) for names in lost["families"].unique()}
            kin = lost["families"].map({names: one.is_kin(names) for names in marks})
            frames.append(lost.assign(judge=one.judge, kin=kin, marked=lost["families"].map(marks)))
    title = "The bindings that optimisation broke"
    if not frames:
        notes = ("No binding that was right before is wrong after.",)
        return table_of(cell, 18, "broken_trials", title, pd.DataFrame(), pd.DataFrame(), notes)
    lost = pd.concat(frames).sort_values(ORDER, key=partial(_rank, cell), kind="stable")
    lost = lost[["judge", "kin", "marked", *ORDER[1:6], "attribute", "object", "now", "trial"]]
    shown = pd.DataFrame(
        {
            "method": lost["method"],
            "metric": lost["metric"],
            "settings": lost["settings"],
            "judge": lost["marked"],
            "prompt": lost["prompt"],
            "seed": lost["seed"].astype(str),
            "binding": lost["attribute"] + " " + lost["object"],
            "now": lost["now"],
            "trial": lost["trial"].str[:12],
        }
    )
    notes = ("`python -m reno.reproduce TRIAL` makes a trial again.",)
    return table_of(cell, 18, "broken_trials", title, lost.drop(columns="marked"), shown, notes)


def _rank(cell: Sequence[Slice], column: pd.Series) -> pd.Series:
    """What to sort a column of ORDER by: judges, methods and metrics have an order of their own."""
    orders = {
        "judge": [one.judge for one in cell],
        "method": cell[0].methods,
        "metric": cell[0].metrics,
    }
    if column.name not in orders:
        return column
    return column.map({name: place for place, name in enumerate(orders[column.name])})


def _row(one: Slice, method: str, metric: str, settings: str, families: str, fates: pd.DataFrame) -> tuple[dict, dict]:
    """A row of the frame, and the line that shows it."""
    was, now = fates["was_right"], fates["is_right"]
    parts = fates[["prompt", "seed", "trial"]].assign(
        **{"right/best": was, "wrong/best": ~was, "broken/best": was & ~now, "mended/best": ~was & now}
    )
    counts = {name: int(parts[f"{name}/best"].sum()) for name in ("right", "broken", "wrong", "mended")}
    trials = parts.groupby(["prompt", "seed", "trial"], as_index=False).sum()
    lost, gained = level(trials, BROKEN), level(trials, MENDED)
    row = {
        "judge": one.judge,
        "kin": one.is_kin(families),
        "method": method,
        "metric": metric,
        "settings": settings,
        "right_before": counts["right"],
        "broken_count": counts["broken"],
        "wrong_before": counts["wrong"],
        "mended_count": counts["mended"],
        **spread("broken", lost.interval),
        **spread("mended", gained.interval),
        "prompts": lost.prompts,
        "seeds": lost.seeds,
        "trials": lost.trials,
    }
    line = {
        "method": method,
        "metric": metric,
        "settings": settings,
        "judge": one.marked(families),
        "right before": str(counts["right"]),
        "broken": str(counts["broken"]),
        "share broken [95%]": bracketed(lost.interval, signed=False),
        "wrong before": str(counts["wrong"]),
        "mended": str(counts["mended"]),
        "share mended [95%]": bracketed(gained.interval, signed=False),
        "net": number(counts["mended"] - counts["broken"], 0, signed=True),
        "n": counted(lost),
    }
    return row, line
