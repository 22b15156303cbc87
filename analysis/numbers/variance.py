"""How much of an outcome's variance lies between prompts, between noises, and in the rest.

Components of variance by the method of moments (Searle, Casella and McCulloch 1992, chapters 3 and 4): mean squares are
set equal to their expectations; a component that comes out negative counts as 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.numbers.design import FEWEST_NOISES
from analysis.numbers.effects import Noises, noises
from analysis.numbers.statistics import FEWEST_PROMPTS

NAN = float("nan")


@dataclass(frozen=True)
class Split:
    """Shares of the variance, which sum to 1; NaN where the design does not tell them apart."""

    prompt: float
    noise: float
    rest: float
    """What neither explains; where `noise` is NaN it holds the noise as well."""
    variance: float
    """The sum of the components, in squared units of the outcome."""
    design: str
    """`crossed`: prompts share their noises. `nested`: each has its own. `none`: too few prompts or noises."""
    noises: Noises
    """Of the trials that count."""
    trials: int


def split(rows: pd.DataFrame, value: str) -> Split:
    """rows: trials of one configuration, with `prompt`, `seed` and the outcome in the column `value`.

    Shared noises: two-way random effects without replication, over the prompts that have every noise; the rest is the
    interplay of prompt and noise, and error. Own noises: one-way; an image tells no noise from error.
    """
    rows = rows[["prompt", "seed", value]].dropna()
    if noises(rows).own:
        return _one_way(rows, value)
    cells = rows.pivot_table(index="prompt", columns="seed", values=value).dropna()
    prompts, seeds = cells.shape
    if prompts < FEWEST_PROMPTS or seeds < FEWEST_NOISES:
        return _unsplit(rows)
    y = cells.to_numpy(float)
    of_prompt, of_seed = y.mean(axis=1, keepdims=True), y.mean(axis=0, keepdims=True)
    between = seeds * np.var(of_prompt, ddof=1)
    over_noises = prompts * np.var(of_seed, ddof=1)
    rest = ((y - of_prompt - of_seed + y.mean()) ** 2).sum() / ((prompts - 1) * (seeds - 1))
    components = (between - rest) / seeds, (over_noises - rest) / prompts, rest
    return _shares(components, "crossed", noises(rows[rows["prompt"].isin(cells.index)]), y.size)


def split_over_metrics(rows: pd.DataFrame, value: str) -> Split:
    """Of trials of several metrics on the same prompts and noises, where each prompt has its own noises: prompts,
    noises in prompts, and the rest, which is what metrics make differently of one noise. The metrics' means are taken
    out.

    rows: as of `split`, with a column `metric`; only noises that every metric has count.
    """
    cells = rows.dropna(subset=[value]).pivot_table(index=["prompt", "seed"], columns="metric", values=value).dropna()
    prompt = cells.index.get_level_values("prompt")
    counts = prompt.value_counts()
    metrics = cells.shape[1]
    if len(counts) < FEWEST_PROMPTS or len(cells) == len(counts) or metrics < 2:
        return _unsplit(rows)
    y = cells.to_numpy(float) - cells.to_numpy(float).mean(axis=0)
    of_noise = y.mean(axis=1)
    rest = ((y - of_noise[:, None]) ** 2).sum() / ((len(cells) - 1) * (metrics - 1))
    between, within, each = _mean_squares(of_noise, prompt)
    components = (between - within) / each, within - rest / metrics, rest
    return _shares(components, "nested", noises(cells.index.to_frame(index=False)), cells.size)


def _one_way(rows: pd.DataFrame, value: str) -> Split:
    prompts = rows["prompt"].nunique()
    if prompts < FEWEST_PROMPTS or prompts == len(rows):
        return _unsplit(rows)
    between, within, each = _mean_squares(rows[value].to_numpy(float), rows["prompt"])
    return _shares(((between - within) / each, NAN, within), "nested", noises(rows), len(rows))


def _unsplit(rows: pd.DataFrame) -> Split:
    return Split(NAN, NAN, NAN, NAN, "none", noises(rows), len(rows))


def _mean_squares(y: np.ndarray, groups: pd.Series | pd.Index) -> tuple[float, float, float]:
    """Between and within groups, and how many of y a group has, as unequal groups count in the expectation of the
    first (ibid., section 3.6)."""
    codes, names = pd.factorize(groups)
    counts = np.bincount(codes)
    means = np.bincount(codes, y) / counts
    between = (counts * (means - y.mean()) ** 2).sum() / (len(names) - 1)
    within = ((y - means[codes]) ** 2).sum() / (len(y) - len(names))
    each = (len(y) - (counts**2).sum() / len(y)) / (len(names) - 1)
    return float(between), float(within), float(each)


def _shares(components: tuple[float, float, float], design: str, counted: Noises, trials: int) -> Split:
    parts = [part if np.isnan(part) else max(0.0, float(part)) for part in components]
    whole = float(np.nansum(parts))
    if whole <= 1e-12:
        return Split(NAN, NAN, NAN, 0.0, design, counted, trials)
    return Split(*(part / whole for part in parts), whole, design, counted, trials)
