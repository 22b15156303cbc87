"""Resampling intervals, the swap test and effect sizes, for ratios and metrics' scores. The prompt is the unit: the
seeds of one prompt are not independent data. Shares and their differences have intervals of their own (shares.py).

Everything here takes one row a prompt, already averaged over that prompt's seeds: resampling rows resamples whole
prompts with all their seeds. That is the cluster bootstrap without resampling inside a cluster (Davison and Hinkley
1997, section 3.8; Field and Welsh 2007 show that it is consistent where clusters differ). It says nothing of other
noises where prompts share their seeds, nor of other bindings where they recur: there, estimates.py counts both.

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
    """`score`: Wilson's of a share, Tango's of a difference of shares. `BCa` or `percentile`: bootstrapped over
    prompts. `t`: linearised, over prompts and noises or bindings. `equal`: none, because it cannot vary or every prompt
    has the same score. `none`: too few prompts."""

    @property
    def excludes_zero(self) -> bool:
        return bool(self.low > 0 or self.high < 0)


@lru_cache(maxsize=64)
def prompt_draws(prompts: int, resamples: int, seed: int) -> np.ndarray:
    """How often each prompt is drawn, as a share: (resamples, prompts), rows sum to 1."""
    draws = np.random.default_rng(seed).multinomial(prompts, np.full(prompts, 1 / prompts), size=resamples)
    return draws / prompts


def bootstrap(rows: np.ndarray, of: Of = mean, *, method: str = "BCa", level: float = LEVEL) -> Interval:
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
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
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


def slope(of: Of, centre: np.ndarray) -> np.ndarray:
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
