"""Table 14: best of n against n, as the metric's own score and as judges see it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import gammaln

from analysis.data import Results
from analysis.numbers.effects import Level, level
from analysis.numbers.measures import FULLY_BOUND
from analysis.numbers.slices import Slice
from analysis.tables.columns import bracketed, spread
from analysis.tables.notes import interval_note
from analysis.tables.table import Table, empty_table, table_of
from analysis.text import MISSING, number

COLUMNS = (
    "judge", "kin", "metric", "images", "score", "score_trials", "score_of", "fully_bound", "fully_bound_low",
    "fully_bound_high", "fully_bound_interval", "prompts", "seeds", "trials",
)  # fmt: skip


def best_of_n(cell: Sequence[Slice], results: Results) -> Table:
    """One row a number of images x metric x judge: 1, 2, 4, ... and every number that trials have."""
    rows, shown = [], []
    for one in cell:
        trials = one.select(method="best_of_n")
        for metric in one.metrics_of(trials):
            for row, line in _curve(one, metric, trials[trials["metric"] == metric], results):
                rows.append(row)
                shown.append(line)
    title = "Best of n against n"
    if not rows:
        why = "Best of n was not run here; `python -m reno.run -m +experiments=best_of_n_curve` runs it for many n."
        return empty_table(cell, 14, "best_of_n", title, COLUMNS, why)
    notes = [
        "Images: how many noises are drawn; the image with the best score is taken. Own score: the mean best score of "
        "this many of a trial's images, over all choices of them, in the trials with the most images. Fully bound: the "
        "share of taken images in which all bindings hold, in trials of just this many; 1 image is the first noise.",
        interval_note([row["fully_bound_interval"] for row in rows if row["trials"]]),
        f"{MISSING}: no trial has that many images. n: prompts × seeds (trials).",
    ]
    return table_of(cell, 14, "best_of_n", title, pd.DataFrame(rows), pd.DataFrame(shown), notes)


def _curve(one: Slice, metric: str, trials: pd.DataFrame, results: Results) -> list[tuple[dict, dict[str, str]]]:
    """The rows of one metric and the lines that show them."""
    kin = one.is_kin(trials["families"].iloc[0])
    scores = _scores(trials, results)
    judged = _judged(trials) if one.judge else {}
    longest = max([*map(int, trials["images"]), 1])
    found = []
    for images in sorted({*judged, *(2**power for power in range(longest.bit_length())), longest}):
        of_n = np.mean([best_of(images, own) for own in scores]) if scores else np.nan
        bound = judged.get(images)
        row = {
            "judge": one.judge,
            "kin": kin,
            "metric": metric,
            "images": images,
            "score": of_n,
            "score_trials": len(scores),
            "score_of": max(map(len, scores), default=0),
            **_level_columns(bound),
        }
        line = {
            "metric": metric,
            "judge": one.marked(trials["families"].iloc[0]),
            "images": str(images),
            "own score": number(of_n),
            "fully bound [95%]": bracketed(bound.interval, signed=False) if bound else MISSING,
            "n": f"{bound.noises.times} ({bound.trials})" if bound else MISSING,
        }
        found.append((row, line))
    return found


def _level_columns(bound: Level | None) -> dict:
    if bound is None:
        nothing = dict.fromkeys(("fully_bound", "fully_bound_low", "fully_bound_high"), np.nan)
        return {**nothing, "fully_bound_interval": "none", "prompts": 0, "seeds": 0, "trials": 0}
    counts = {"prompts": bound.prompts, "seeds": bound.seeds, "trials": bound.trials}
    return {**spread("fully_bound", bound.interval), **counts}


def _judged(trials: pd.DataFrame) -> dict[int, Level]:
    """By number of images, the share of best images that are fully bound. One image: the first of any trial."""
    firsts = trials.drop_duplicates(["prompt", "seed"])
    found = {1: level(firsts, FULLY_BOUND, "initial")}
    for images, part in trials.groupby("images"):
        found[int(images)] = level(part, FULLY_BOUND)
    return {images: one for images, one in found.items() if one.trials}


def _scores(trials: pd.DataFrame, results: Results) -> list[np.ndarray]:
    """The scores of all images of each trial, of those with the most images."""
    most = trials[trials["images"] == trials["images"].max()]
    traces = results.all_traces
    traces = traces[traces["trial"].isin(set(most["trial"]))]
    return [scores.dropna().to_numpy(float) for _, scores in traces.groupby("trial", observed=True)["score"]]


def best_of(n: int, scores: np.ndarray) -> float:
    """The expected best of n of these scores (N,), drawn without replacement, n <= N: the i-th smallest is the best in
    C(i - 1, n - 1) of the C(N, n) choices."""
    ordered, count = np.sort(scores), len(scores)
    places = np.arange(n, count + 1)
    if not len(places):
        return float("nan")
    log_ways = _log_choose(places - 1, n - 1) - _log_choose(count, n)
    return float(np.exp(log_ways) @ ordered[n - 1 :])


def _log_choose(n: np.ndarray | int, k: int) -> np.ndarray:
    return gammaln(np.add(n, 1.0)) - gammaln(k + 1.0) - gammaln(np.add(n, 1.0) - k)
