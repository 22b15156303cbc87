"""Table 13: whether a larger gain of the optimised metric comes with a larger gain in binding."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.numbers.correlation import spearman
from analysis.numbers.effects import noises
from analysis.numbers.slices import Slice
from analysis.numbers.statistics import LEVEL
from analysis.numbers.tuning import by_metric
from analysis.tables.columns import bracketed, spread
from analysis.tables.notes import n_note, settings_note
from analysis.tables.table import Table, empty_table, table_of
from analysis.text import MISSING, number

COLUMNS = (
    "judge", "kin", "method", "metric", "settings", "own_gain", "judged_gain", "rho", "rho_low", "rho_high",
    "rho_interval", "prompts", "seeds", "trials",
)  # fmt: skip


def gains(cell: Sequence[Slice], slices: Sequence[Slice]) -> Table:
    """One row a metric x judge."""
    rows, shown = [], []
    for one in cell:
        for metric, trials in by_metric(slices, one).items() if one.judge else ():
            row, line = _row(one, metric, trials)
            if row["trials"]:
                rows.append(row)
                shown.append(line)
    title = "The gain of the optimised metric against the gain in binding"
    if not rows:
        return empty_table(cell, 13, "gains", title, COLUMNS, "No judge looked at a binding of an optimised image.")
    notes = [
        "Own gain: the score of the optimised metric, after minus before; judged gain: the share of an image's "
        f"bindings that hold, after minus before. Means over trials. {n_note(cell, 'trials')} "
        f"{settings_note(rows)}",
        f"rho: Spearman's rank correlation of the two gains, with its {LEVEL:.0%} percentile interval over prompts "
        "(all seeds of a prompt together); –: one of the gains is the same in all trials.",
    ]
    return table_of(cell, 13, "gains", title, pd.DataFrame(rows), pd.DataFrame(shown), notes)


def _row(one: Slice, metric: str, trials: pd.DataFrame) -> tuple[dict, dict[str, str]]:
    moved = trials[["prompt", "seed"]].assign(
        own=trials["score_best"] - trials["score_initial"], judged=trials["bound/best"] - trials["bound/initial"]
    )
    moved = moved.dropna()
    first, rho, started = trials.iloc[0], spearman(moved, "own", "judged"), noises(moved)
    row = {
        "judge": one.judge,
        "kin": one.is_kin(first["families"]),
        "method": first["method"],
        "metric": metric,
        "settings": first["settings"],
        "own_gain": moved["own"].mean(),
        "judged_gain": moved["judged"].mean(),
        **spread("rho", rho),
        "prompts": started.prompts,
        "seeds": started.seeds,
        "trials": len(moved),
    }
    line = {
        "metric": metric,
        "judge": one.marked(first["families"]),
        "own gain": number(row["own_gain"], signed=True),
        "judged gain": number(row["judged_gain"], signed=True),
        "rho [95%]": MISSING if pd.isna(rho.value) else bracketed(rho),
        "n": f"{started.times} ({len(moved)})",
    }
    return row, line
