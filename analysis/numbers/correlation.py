"""Spearman's rank correlation over trials, with an interval over prompts."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.numbers.statistics import FEWEST_PROMPTS, LEVEL, SEED, Interval, prompt_draws

DRAWS = 1999
AT_ONCE = 250
"""Draws side by side, so that ten thousand trials fit into memory."""


def spearman(rows: pd.DataFrame, x: str, y: str) -> Interval:
    """Spearman's rho of two columns, ties with their mean rank, and its percentile interval: whole prompts are drawn,
    with all their trials. rows: one a trial, with its `prompt`. NaN where a column does not vary."""
    rows = rows[["prompt", x, y]].dropna()
    prompt, prompts = pd.factorize(rows["prompt"], sort=True)
    values = [rows[name].to_numpy(float).round(12) for name in (x, y)]
    value = float(_weighted(values, np.ones((1, len(rows))))[0]) if len(rows) else np.nan
    if len(prompts) < FEWEST_PROMPTS or np.isnan(value):
        return Interval(value, np.nan, np.nan, "none")
    times = prompt_draws(len(prompts), DRAWS, SEED) * len(prompts)
    parts = [times[start : start + AT_ONCE][:, prompt] for start in range(0, DRAWS, AT_ONCE)]
    drawn = np.concatenate([_weighted(values, part) for part in parts])
    drawn = drawn[np.isfinite(drawn)]  # in a draw a column may not vary
    if len(drawn) < 0.9 * DRAWS:
        return Interval(value, np.nan, np.nan, "none")
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high), "percentile")


def _weighted(values: list[np.ndarray], times: np.ndarray) -> np.ndarray:
    """Rho of two columns (n,) whose rows count `times` (draws, n): (draws,)."""
    a, b = (_centred(_mid_ranks(column, times), times) for column in values)
    with np.errstate(invalid="ignore", divide="ignore"):
        norm = np.sqrt((times * a**2).sum(axis=1) * (times * b**2).sum(axis=1))
        return np.where(norm > 1e-9, (times * a * b).sum(axis=1) / norm, np.nan)


def _mid_ranks(column: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The rank of each row, up to a constant, among rows that are there `times` (draws, n)."""
    levels, place = np.unique(column, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(levels)))
    held = np.add.reduceat(times[:, order], starts, axis=1)
    return (held.cumsum(axis=1) - held / 2)[:, place]


def _centred(ranks: np.ndarray, times: np.ndarray) -> np.ndarray:
    return ranks - (times * ranks).sum(axis=1, keepdims=True) / times.sum(axis=1, keepdims=True)
