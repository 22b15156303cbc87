"""Intervals, tests and effect sizes. The prompt is the unit: the seeds of one prompt are not independent data.

If prompts share their seeds, the noises are crossed with the prompts, and `crossed_interval` covers other noises as
well. If each prompt has its own noises, they are nested in it: another prompt brings other noises, and resampling or
swapping whole prompts covers both.

Everything here takes one row a prompt, already averaged over that prompt's seeds: resampling rows resamples whole
prompts with all their seeds. That is the cluster bootstrap without resampling inside a cluster (Davison and Hinkley
1997, section 3.8; Field and Welsh 2007 show that it is consistent where clusters differ).

A quantity is a function of the mean row: a share is the mean of one column, a ratio ("bound, of what is present") the
quotient of two, a difference that of two such. `Of` names the function and the columns are (n prompts, k).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

LEVEL = 0.95
RESAMPLES = 4999
FLIPS = 9999
SEED = 20240604
"""Of the resamples, the same for every number: two reports of one store are equal."""
FEWEST_PROMPTS = 6
"""With fewer, no interval is given: even the exact paired test on 5 prompts cannot reach p < 0.05 (2 / 2^5 =
0.0625)."""
FEWEST_SEEDS = 3
"""With fewer, no interval over prompts and seeds is given: two noises say too little about how noises differ."""
EXACT_PROMPTS = 13
"""Up to this many prompts the test goes through all 2^n flips: at most 8192."""

Of = Callable[[np.ndarray], np.ndarray]
"""From mean rows (..., k) to the quantity (...)."""


def mean(rows: np.ndarray) -> np.ndarray:
    """The first column."""
    return rows[..., 0]


def ratio(rows: np.ndarray) -> np.ndarray:
    """The first column over the second; NaN where the second is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(rows[..., 1] > 0, rows[..., 0] / rows[..., 1], np.nan)


def difference(of: Of, columns: int) -> Of:
    """`of` of the first `columns` columns minus `of` of the next ones."""
    return lambda rows: of(rows[..., :columns]) - of(rows[..., columns : 2 * columns])


@dataclass(frozen=True)
class Interval:
    """A value and its interval. NaN where there is none."""

    value: float
    low: float
    high: float
    kind: str
    """`BCa` or `percentile`: of LEVEL, over prompts. `random effects`: over prompts and seeds. `nested`: none, because
    each prompt has its own noises and the interval over prompts covers them. `equal`: none, because every prompt has
    the same value. `none`: too few prompts or seeds."""

    @property
    def excludes_zero(self) -> bool:
        return bool(self.low > 0 or self.high < 0)


@lru_cache(maxsize=64)
def prompt_draws(prompts: int, resamples: int, seed: int) -> np.ndarray:
    """How often each prompt is drawn, as a share: (resamples, prompts), rows sum to 1."""
    draws = np.random.default_rng(seed).multinomial(prompts, np.full(prompts, 1 / prompts), size=resamples)
    return draws / prompts


def bootstrap(rows: np.ndarray, of: Of = mean, *, method: str = "BCa") -> Interval:
    """The interval of `of` of the mean row, over resampled prompts.

    rows: (n prompts, k), finite. method: `BCa` (bias-corrected and accelerated, Efron 1987, with the jackknife's
    acceleration) or `percentile`. BCa falls back to percentile, and says so, where all of the resamples lie on one
    side of the value or the jackknife does not vary.
    """
    rows = np.atleast_2d(np.asarray(rows, dtype=float).T).T
    count = len(rows)
    value = float(of(rows.mean(axis=0))) if count else np.nan
    if count < FEWEST_PROMPTS or not np.isfinite(value):
        return Interval(value, np.nan, np.nan, "none")
    if (rows == rows[0]).all():
        return Interval(value, value, value, "equal")
    drawn = of(prompt_draws(count, RESAMPLES, SEED) @ rows)
    drawn = drawn[np.isfinite(drawn)]  # a ratio is undefined in a resample where nothing is present
    if len(drawn) < 0.9 * RESAMPLES:
        return Interval(value, np.nan, np.nan, "none")
    tails = np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    kind = "percentile"
    if method == "BCa" and (adjusted := _bca_tails(rows, of, value, drawn, tails)) is not None:
        tails, kind = adjusted, "BCa"
    low, high = np.quantile(drawn, tails)
    if np.isclose(low, high, rtol=0, atol=1e-12):
        return Interval(value, value, value, "equal")
    return Interval(value, float(low), float(high), kind)


def _bca_tails(rows: np.ndarray, of: Of, value: float, drawn: np.ndarray, tails: np.ndarray) -> np.ndarray | None:
    """The quantiles of the resamples that BCa takes instead of `tails`; None where it is undefined."""
    tie = 1e-12 * max(1.0, abs(value))  # sums in another order differ by rounding; ties count half
    below = ((drawn < value - tie).mean() + (drawn <= value + tie).mean()) / 2
    count = len(rows)
    left_out = of((rows.sum(axis=0) - rows) / (count - 1))
    spread = left_out.mean() - left_out
    squares = (spread**2).sum()
    if not 0 < below < 1 or not np.isfinite(squares) or squares <= count * tie**2:
        return None
    acceleration = (spread**3).sum() / (6 * squares**1.5)
    bias = stats.norm.ppf(below)
    shifted = bias + stats.norm.ppf(tails)
    return stats.norm.cdf(bias + shifted / (1 - acceleration * shifted))


def mean_of_groups(groups: Sequence[np.ndarray]) -> Interval:
    """The mean of the groups' means, with a percentile interval: prompts are drawn within each group (Davison and
    Hinkley 1997, section 3.2).

    groups: of each group one value a prompt. The interval is `none` if a group has fewer than FEWEST_PROMPTS.
    """
    value = float(np.mean([np.mean(group) for group in groups])) if groups else np.nan
    if not groups or min(map(len, groups)) < FEWEST_PROMPTS or not np.isfinite(value):
        return Interval(value, np.nan, np.nan, "none")
    if all((group == group[0]).all() for group in groups):
        return Interval(value, value, value, "equal")
    drawn = [prompt_draws(len(group), RESAMPLES, SEED + place) @ group for place, group in enumerate(groups)]
    low, high = np.quantile(np.mean(drawn, axis=0), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high), "percentile")


def crossed_interval(cells: np.ndarray, of: Of = mean) -> Interval:
    """The interval of `of` of the mean row where both prompts and seeds stand for others.

    For seeds that prompts share: an interval over prompts alone covers other prompts on these very noises. Here both
    are random effects, without replication (Searle, Casella and
    McCulloch 1992, chapter 4): the variance of the mean is (MS_prompt + MS_seed - MS_rest) / (prompts x seeds), never
    less than over prompts alone, with Satterthwaite's degrees of freedom (1946) for t; `of` is linearised at the mean
    row.

    cells: (prompts, seeds, k), NaN where a pair is missing. The value is of the mean of the prompts' means; the
    variance is that of the prompts that have every seed. `none` with fewer than FEWEST_PROMPTS of those, or
    FEWEST_SEEDS.
    """
    of_prompts = _mean_of_present(cells)
    centre = of_prompts.mean(axis=0) if len(of_prompts) else np.full(cells.shape[-1], np.nan)
    value = float(of(centre))
    whole = cells[np.isfinite(cells).all(axis=(1, 2))]
    prompts, seeds = whole.shape[:2]
    if prompts < FEWEST_PROMPTS or seeds < FEWEST_SEEDS or not np.isfinite(value):
        return Interval(value, np.nan, np.nan, "none")
    moves = (whole - whole.mean(axis=(0, 1))) @ _slope(of, centre)
    by_prompt, by_seed = moves.mean(axis=1), moves.mean(axis=0)
    rest = moves - by_prompt[:, None] - by_seed
    squares = np.array([(by_prompt**2).sum() / prompts, (by_seed**2).sum() / seeds, (rest**2).sum() / rest.size])
    freedom = np.array([prompts - 1, seeds - 1, (prompts - 1) * (seeds - 1)])
    parts = squares / freedom
    variance = max(parts[0], parts[0] + parts[1] - parts[2])
    if not variance > 1e-24:
        return Interval(value, value, value, "equal")
    reach = stats.t.ppf((1 + LEVEL) / 2, max(1.0, variance**2 / (parts**2 / freedom).sum())) * np.sqrt(variance)
    return Interval(value, value - reach, value + reach, "random effects")


def _mean_of_present(cells: np.ndarray) -> np.ndarray:
    """Each prompt's mean over the seeds it has: (prompts, k)."""
    there = np.isfinite(cells).all(axis=2, keepdims=True)
    return np.where(there, cells, 0).sum(axis=1) / there.sum(axis=1)


def _slope(of: Of, centre: np.ndarray) -> np.ndarray:
    """The gradient of a quantity at a row, (k,), by central differences."""
    steps = 1e-6 * np.maximum(1e-3, np.abs(centre))
    rows = np.diag(steps)
    return (of(centre + rows) - of(centre - rows)) / (2 * steps)


@lru_cache(maxsize=64)
def _signs(prompts: int, flips: int, seed: int) -> np.ndarray:
    """+1 and -1, (flips, prompts): all of them up to EXACT_PROMPTS, else a sample."""
    if prompts <= EXACT_PROMPTS:
        return 1.0 - 2.0 * (np.arange(2**prompts)[:, None] >> np.arange(prompts) & 1)
    return 1.0 - 2.0 * np.random.default_rng(seed).integers(0, 2, (flips, prompts))


def swap_test(a: np.ndarray, b: np.ndarray, of: Of = mean) -> float:
    """Two-sided p of "a and b are exchangeable within a prompt", by swapping them in whole prompts.

    a, b: (n prompts, k), paired by prompt. For means this is the paired sign-flip permutation test (Fisher 1935); it
    also serves ratios, which the Wilcoxon test of per-prompt means does not, and it need not drop the prompts without a
    difference, which are most of them when the outcome is bound or not.
    Prompts are swapped with all of their seeds together: under the null the seeds of a prompt agree as strongly as
    they like. All 2^n swaps up to EXACT_PROMPTS prompts; else FLIPS random ones, with the observed one counted
    (Phipson and Smyth 2010), so p is at least 1 / (FLIPS + 1). NaN for fewer than FEWEST_PROMPTS prompts, where p <
    0.05 is out of reach.
    """
    a, b = (np.atleast_2d(np.asarray(side, dtype=float).T).T for side in (a, b))
    count = len(a)
    if count < FEWEST_PROMPTS:
        return np.nan
    centre, half = (a + b).mean(axis=0) / 2, (a - b) / 2
    observed = float(of(a.mean(axis=0)) - of(b.mean(axis=0)))
    if not np.isfinite(observed):
        return np.nan
    swapped = _signs(count, FLIPS, SEED) @ half / count
    null = of(centre + swapped) - of(centre - swapped)
    as_far = np.abs(null) >= abs(observed) - 1e-12 * max(1.0, abs(observed))
    as_far |= ~np.isfinite(null)  # an undefined ratio speaks against nothing
    if count <= EXACT_PROMPTS:
        return float(as_far.mean())
    return float((as_far.sum() + 1) / (FLIPS + 1))


def holm(p: Sequence[float]) -> np.ndarray:
    """Holm's step-down adjustment (1979) over one family; NaN stays NaN and is no member of the family."""
    p = np.asarray(p, dtype=float)
    adjusted = np.full(p.shape, np.nan)
    family = np.flatnonzero(np.isfinite(p))
    ordered = family[np.argsort(p[family], kind="stable")]
    steps = p[ordered] * np.arange(len(ordered), 0, -1)
    adjusted[ordered] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def cohen_dz(differences: np.ndarray) -> float:
    """Cohen's d_z: the mean of the prompts' differences over their standard deviation (n - 1). NaN where they do not
    vary.

    Of per-prompt means, so it grows with the seeds a prompt has; compare it only between numbers of equal seeds."""
    differences = np.asarray(differences, dtype=float)
    spread = differences.std(ddof=1) if len(differences) > 1 else 0.0
    return float(differences.mean() / spread) if spread > 1e-12 else np.nan


def rank_biserial(differences: np.ndarray) -> float:
    """The matched-pairs rank-biserial correlation (Kerby 2014), in [-1, 1]: the favourable share of the ranks of the
    differences minus the unfavourable share. Prompts without a difference have no rank; NaN where none has one."""
    differences = np.asarray(differences, dtype=float)
    moved = differences[np.abs(differences) > 1e-12]
    if not len(moved):
        return np.nan
    ranks = stats.rankdata(np.abs(moved).round(12))
    return float((ranks * np.sign(moved)).sum() / ranks.sum())
