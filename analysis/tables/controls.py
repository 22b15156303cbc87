"""Table 5: ReNO against its controls, at the same metric, prompts and seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from analysis.effects import PAIR, Effect, versus
from analysis.load import Results
from analysis.outcomes import BY_NAME, Measure, Slice
from analysis.statistics import holm
from analysis.tables.table import (
    TEST_NOTE,
    Table,
    bracketed,
    configurations,
    counted,
    effect_columns,
    interval_note,
    n_note,
    p_text,
    spread,
    starred,
    table_of,
)  # fmt: skip
from analysis.text import number

EQUAL_SECONDS = (0.8, 1.25)
"""Ratios of the seconds of two trials that are called equal."""
SHOWN = ("fully_bound", "bound")
BUDGETED = Measure("score_at_equal_seconds", "own score", "budgeted", share=False)


def controls(cell: Sequence[Slice], results: Results) -> Table:
    """One row a ReNO configuration x control x measure x judge.

    Best of n at equal seconds, by the judge: of the stored numbers of images, the one whose trials took most nearly
    as long; the row carries the ratio. By the metric's own score it is exact: both traces are cut at the seconds of
    the shorter.
    """
    rows, shown, unlike = [], [], set()
    for one in cell:
        found = list(_comparisons(one, results))
        adjusted = holm([effect.p for *_, effect in found])
        for (metric, settings, control, families, seconds, measure, effect), p in zip(found, adjusted, strict=True):
            key = {"judge": one.judge, "kin": one.is_kin(families), "metric": metric, "settings": settings}
            rows.append(
                key
                | {"control": control, "seconds_ratio": seconds, "measure": measure.name}
                | {"reno": effect.a, "control_value": effect.b, **spread("difference", effect.difference)}
                | {**effect_columns(effect), "p_holm": p}
                | {name: getattr(effect, name) for name in ("win", "tie", "loss", "prompts", "seeds", "pairs")}
                | {"unpaired_reno": effect.unpaired_a, "unpaired_control": effect.unpaired_b}
            )
            shown.append(_shown(one, families, rows[-1], effect, p))
            if "nearest" in control:
                unlike.add(f"{metric}, {settings}: {control} took {seconds:.2f} of ReNO's seconds")
    notes = [
        "reno − control, paired on prompt and seed; win: pairs in which reno is better. Seconds: of the "
        "control's trials over reno's, medians. own score: of the optimised metric, best of what both had made "
        f"by the seconds of the shorter trial. {n_note(cell, 'pairs')}",
        interval_note([row["difference_interval"] for row in rows]),
        TEST_NOTE,
    ]
    if unlike:
        notes.append("No stored best of n took about as long; the nearest: " + "; ".join(sorted(unlike)) + ".")
    lacking = [name for name in ("best_of_n", "none", "decoder_only") if not (cell[0].rows["method"] == name).any()]
    if lacking:
        notes.append(f"Not run here: {', '.join(lacking)}.")
    if any(row["unpaired_reno"] or row["unpaired_control"] for row in rows):
        notes.append("Trials without a partner are left out of a row; the CSV counts them.")
    title = "ReNO against its controls"
    return table_of(cell, 5, "controls", title, pd.DataFrame(rows), pd.DataFrame(shown), notes)


def _comparisons(one: Slice, results: Results) -> Iterator[tuple[str, str, str, str, float, Measure, Effect]]:
    measures = [BY_NAME[name] for name in SHOWN] if one.judge else []
    parts = {(method, metric, settings): trials for method, metric, settings, trials in configurations(one.rows)}
    for (method, metric, settings), reno in parts.items():
        if method != "reno":
            continue
        families = reno["families"].iloc[0]
        for control, other, equal_seconds in _controls_of(reno, metric, settings, parts):
            seconds = float(other["seconds"].median() / reno["seconds"].median())
            for measure in measures:
                yield metric, settings, control, families, seconds, measure, versus(reno, other, measure)
            if equal_seconds:
                a, b = at_equal_seconds(reno, other, results)
                yield metric, settings, control, families, seconds, BUDGETED, versus(a, b, BUDGETED)


def _controls_of(
    reno: pd.DataFrame, metric: str, settings: str, parts: dict
) -> Iterator[tuple[str, pd.DataFrame, bool]]:
    """(name, its trials, whether it is compared at equal seconds) of each control that the store has."""
    of_metric = {key: trials for key, trials in parts.items() if key[1] == metric}
    nothing = [trials for key, trials in (*of_metric.items(), *parts.items()) if key[0] == "none"]
    if nothing:  # the image of a noise is the same whichever metric was to be optimised
        yield "no optimisation", nothing[0], False
    if ("decoder_only", metric, settings) in of_metric:
        yield "decoder only", of_metric["decoder_only", metric, settings], False
    best_of = [trials for (method, _, _), trials in of_metric.items() if method == "best_of_n"]
    images = reno["images"].median()
    for trials in best_of:
        if trials["images"].median() == images:
            yield f"best of {images:.0f}, equal images", trials, False
    if best_of:
        seconds = reno["seconds"].median()
        nearest = min(best_of, key=lambda trials: abs(np.log(trials["seconds"].median() / seconds)))
        ratio = nearest["seconds"].median() / seconds
        name = "equal seconds" if EQUAL_SECONDS[0] <= ratio <= EQUAL_SECONDS[1] else "nearest in seconds"
        yield f"best of {nearest['images'].median():.0f}, {name}", nearest, True


def at_equal_seconds(a: pd.DataFrame, b: pd.DataFrame, results: Results) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both sides with `budgeted/best`: the best score of the optimised metric among the images that were ready by
    the end of the shorter trial of the pair."""
    pairs = a[["trial", *PAIR]].merge(b[["trial", *PAIR]], on=list(PAIR), suffixes=("_a", "_b"))
    traces = results.all_traces
    ids = pd.concat([pairs["trial_a"], pairs["trial_b"]])
    traces = traces[traces["trial"].isin(set(ids))]
    ready = traces.groupby("trial")["seconds"].cumsum()
    total = traces.groupby("trial")["seconds"].sum()
    pairs["budget"] = np.minimum(pairs["trial_a"].map(total), pairs["trial_b"].map(total))
    sides = []
    for side, trials in (("a", a), ("b", b)):
        budget = traces["trial"].map(pairs.set_index(f"trial_{side}")["budget"])
        in_time = (ready <= budget * (1 + 1e-9)) | (traces["iteration"] == 0)
        best = traces[in_time & budget.notna()].groupby("trial")["score"].max()
        sides.append(trials[[*PAIR]].assign(**{"budgeted/best": trials["trial"].map(best)}))
    return sides[0], sides[1]


def _shown(one: Slice, families: str, row: dict, effect: Effect, p: float) -> dict[str, str]:
    title = BUDGETED.title if row["measure"] == BUDGETED.name else BY_NAME[row["measure"]].title
    return {
        "metric": row["metric"],
        "settings": row["settings"],
        "control": row["control"],
        "judge": "–" if row["measure"] == BUDGETED.name else one.marked(families),
        "measure": title,
        "reno": number(effect.a),
        "ctrl.": number(effect.b),
        "reno − control [95%]": starred(bracketed(effect.difference), p),
        "p": p_text(p),
        "win / tie / loss": f"{effect.win} / {effect.tie} / {effect.loss}",
        "seconds": number(row["seconds_ratio"]),
        "n": counted(effect),
    }
