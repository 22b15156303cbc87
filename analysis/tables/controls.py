"""Table 5: ReNO against its controls and against other methods, at the same metric, prompts and seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from analysis.data import Results
from analysis.numbers.effects import PAIR, Effect, versus
from analysis.numbers.measures import BY_NAME, FULLY_BOUND, Measure
from analysis.numbers.slices import CONTROLS, Slice
from analysis.tables.columns import comparison_columns, comparison_texts, with_holm
from analysis.tables.notes import TEST_NOTE, interval_note, n_note
from analysis.tables.table import Table, table_of
from analysis.text import MISSING, number

EQUAL_SECONDS = (0.8, 1.25)
"""Ratios of the seconds of two trials that count as equal."""
SHOWN = (FULLY_BOUND, BY_NAME["bound"])
BUDGETED = Measure("score_at_equal_seconds", "own score", "budgeted", share=False)

Key = tuple[str, str, str]
"""(method, metric, settings)."""


def controls(cell: Sequence[Slice], results: Results) -> Table:
    """One row a ReNO configuration x control x measure x judge.

    Best of n at equal seconds: the judge saw only whole trials, so of the stored numbers of images the one is taken
    whose trials took most nearly as long; the row has the ratio. For the metric's own score it is exact: both traces
    are cut at the seconds of the shorter.
    """
    rows, shown, unlike = [], [], set()
    for one in cell:
        for (_, metric, settings), control, families, ratio, measure, effect, p in with_holm(
            _comparisons(one, results)
        ):
            rows.append(
                {"judge": one.judge, "kin": one.is_kin(families), "metric": metric, "settings": settings}
                | {"control": control, "seconds_ratio": ratio, "measure": measure.name}
                | comparison_columns(effect, p, "reno", "control", "reno", "control_value")
            )
            texts = comparison_texts(effect, p)
            shown.append(
                {"metric": metric, "settings": settings, "control": control}
                | {"judge": MISSING if measure is BUDGETED else one.marked(families), "measure": measure.title}
                | {"reno": texts["a"], "ctrl.": texts["b"], "reno − control [95%]": texts["difference"]}
                | {"p": texts["p"], "win / tie / loss": texts["win / tie / loss"]}
                | {"seconds": number(ratio), "n": texts["n"]}
            )
            if "nearest" in control:
                unlike.add(f"{metric}, {settings}: {control} took {ratio:.2f} of ReNO's seconds")
    notes = [
        "reno − control, paired on prompt and seed; win: pairs in which reno is better. Seconds: of the "
        "control's trials over reno's, medians. own score: of the optimised metric, the best of what both had made "
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


def _comparisons(one: Slice, results: Results) -> Iterator[tuple[Key, str, str, float, Measure, Effect]]:
    parts = {(method, metric, settings): trials for method, metric, settings, trials in one.configurations(one.rows)}
    for key, reno in parts.items():
        if key[0] != "reno":
            continue
        families = reno["families"].iloc[0]
        for control, other, equal_seconds in _controls_of(key, parts):
            seconds = float(other["seconds"].median() / reno["seconds"].median())
            for measure in SHOWN if one.judge else ():
                yield key, control, families, seconds, measure, versus(reno, other, measure)
            if equal_seconds:
                a, b = at_equal_seconds(reno, other, results)
                yield key, control, families, seconds, BUDGETED, versus(a, b, BUDGETED)


def _controls_of(key: Key, parts: dict[Key, pd.DataFrame]) -> Iterator[tuple[str, pd.DataFrame, bool]]:
    """(name, its trials, whether it is compared at equal seconds) of each control that the store has."""
    reno, (_, metric, settings) = parts[key], key
    of_metric = {other: trials for other, trials in parts.items() if other[1] == metric}
    nothing = [trials for other, trials in (*of_metric.items(), *parts.items()) if other[0] == "none"]
    if nothing:  # the image of a noise is the same whichever metric was to be optimised
        yield "no optimisation", nothing[0], False
    if ("decoder_only", metric, settings) in of_metric:
        yield "decoder only", of_metric["decoder_only", metric, settings], False
    yield from _best_of_n(reno, [trials for other, trials in of_metric.items() if other[0] == "best_of_n"])
    for (method, _, own), trials in of_metric.items():
        if method not in ("reno", *CONTROLS):  # a user's own method
            yield f"{method}, {own}" if own else method, trials, False


def _best_of_n(reno: pd.DataFrame, best_of: list[pd.DataFrame]) -> Iterator[tuple[str, pd.DataFrame, bool]]:
    images, seconds = reno["images"].median(), reno["seconds"].median()
    for trials in best_of:
        if trials["images"].median() == images:
            yield f"best of {images:.0f}, equal images", trials, False
    if best_of:
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
