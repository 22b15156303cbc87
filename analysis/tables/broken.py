"""Tables 6 and 18: what optimisation broke (right before, wrong after) and mended (the other way round), counted and
named."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd

from analysis.numbers.bindings import share
from analysis.numbers.slices import Slice
from analysis.tables.columns import bracketed, counted, spread
from analysis.tables.notes import interval_note, n_note
from analysis.tables.table import Table, empty_table, table_of
from analysis.text import number

SPREADS = [f"{what}{end}" for what in ("broken", "mended") for end in ("", "_low", "_high", "_interval")]
FRAME = (
    "judge", "kin", "method", "metric", "settings", "right_before", "broken_count", "wrong_before", "mended_count",
    *SPREADS, "prompts_right_before", "prompts_wrong_before", "prompts", "seeds", "trials",
)  # fmt: skip
ORDER = ["judge", "method", "metric", "settings", "prompt", "seed", "place"]
NAMED = ["judge", "kin", *ORDER[1:6], "attribute", "object", "now", "trial"]


def broken(cell: Sequence[Slice]) -> Table:
    """How many bindings: one row a configuration x judge."""
    rows, shown = [], []
    for one in cell:
        fates = one.fates
        for method, metric, settings, trials in one.configurations(one.rows):
            part = fates[fates["trial"].isin(set(trials["trial"]))]
            if method == "none" or part.empty:
                continue
            row, line = _row(one, method, metric, settings, trials["families"].iloc[0], part)
            rows.append(row)
            shown.append(line)
    notes = [
        f"Of single bindings: right before and wrong after, and the other way round. {n_note(cell, 'trials')} A share "
        "is over the prompts that had such a binding before; the CSV counts them. Table 18 names the trials.",
        interval_note([row[f"{name}_interval"] for row in rows for name in ("broken", "mended")]),
    ]
    title = "What optimisation broke and mended"
    if not rows:
        return empty_table(cell, 6, "broken", title, FRAME, "No judge looked at a binding of an optimised image.")
    return table_of(cell, 6, "broken", title, pd.DataFrame(rows), pd.DataFrame(shown), notes)


def broken_trials(cell: Sequence[Slice]) -> Table:
    """Which bindings: one row a broken binding x judge."""
    frames = []
    for one in cell:
        fates = one.fates
        lost = fates[fates["was_right"] & ~fates["is_right"] & (fates["method"] != "none")]
        if len(lost):
            marks = {names: one.marked(names) for names in lost["families"].unique()}
            kin = lost["families"].map({names: one.is_kin(names) for names in marks})
            frames.append(lost.assign(judge=one.judge, kin=kin, marked=lost["families"].map(marks)))
    title = "The bindings that optimisation broke"
    if not frames:
        why = "No binding that was right before is wrong after."
        return empty_table(cell, 18, "broken_trials", title, NAMED, why)
    lost = pd.concat(frames).sort_values(ORDER, key=partial(_rank, cell), kind="stable")
    lost = lost[[*NAMED, "marked"]]
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
    counts = {"right": was.sum(), "broken": (was & ~now).sum(), "wrong": (~was).sum(), "mended": (~was & now).sum()}
    lost, gained, every = share(fates, was & ~now, was), share(fates, ~was & now, ~was), share(fates, was)
    row = {
        "judge": one.judge,
        "kin": one.is_kin(families),
        "method": method,
        "metric": metric,
        "settings": settings,
        "right_before": int(counts["right"]),
        "broken_count": int(counts["broken"]),
        "wrong_before": int(counts["wrong"]),
        "mended_count": int(counts["mended"]),
        **spread("broken", lost.interval),
        **spread("mended", gained.interval),
        "prompts_right_before": lost.prompts,
        "prompts_wrong_before": gained.prompts,
        "prompts": every.prompts,
        "seeds": every.seeds,
        "trials": every.trials,
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
        "n": counted(every),
    }
    return row, line
