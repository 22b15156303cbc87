"""One quantity of some trials, with the interval and the test that fit it.

| quantity | interval | test |
| --- | --- | --- |
| a share, a difference of shares | score: Wilson's, Tango's | the same |
| a ratio or a metric's score | BCa over prompts | swap test |
| the same, where prompts share noises or bindings recur | t, linearised | the same |
| a ratio that is the same for every prompt | score, of as many prompts | the same |

docs/statistics.md explains each and has its coverage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import stats

from analysis.numbers.design import Design, Variance
from analysis.numbers.shares import Share, ShareDifference, share, share_difference
from analysis.numbers.statistics import FEWEST_PROMPTS, Interval, Of, bootstrap, difference, mean, slope, swap_test


class Estimate(Protocol):
    """A value that has an interval of any level, and a test of any value."""

    def interval(self, level: float) -> Interval: ...

    def p(self, at: float) -> float:
        """Two-sided p of "the quantity is `at`"; NaN where there is no test."""


@dataclass(frozen=True)
class Unknown:
    """Too few prompts for an interval, or nothing that varies."""

    value: float
    kind: str = "none"

    def interval(self, level: float) -> Interval:
        ends = self.value if self.kind == "equal" else np.nan
        return Interval(self.value, ends, ends, self.kind)

    def p(self, at: float) -> float:
        return np.nan


@dataclass(frozen=True)
class Scored:
    """A share or a difference of shares."""

    of: Share | ShareDifference

    def interval(self, level: float) -> Interval:
        low, high = self.of.interval(level)
        return Interval(float(self.of.value), float(low), float(high), "score")

    def p(self, at: float) -> float:
        return float(self.of.p(at))


@dataclass(frozen=True)
class Linear:
    """A function of means, linearised at them (the delta method), with t."""

    value: float
    variance: Variance

    @property
    def error(self) -> float:
        return float(np.sqrt(self.variance.unbiased))

    def interval(self, level: float) -> Interval:
        reach = float(stats.t.ppf((1 + level) / 2, self.variance.freedom)) * self.error
        return Interval(self.value, self.value - reach, self.value + reach, "t")

    def p(self, at: float) -> float:
        return float(2 * stats.t.sf(abs(self.value - at) / self.error, self.variance.freedom))


@dataclass(frozen=True)
class Resampled:
    """A ratio or a score, or a difference of such, bootstrapped over prompts."""

    rows: np.ndarray
    """(prompts, k); of a difference the columns of a, then those of b."""
    of: Of
    sides: tuple[Of, int] | None
    """Of a difference the function of one side, and how many columns a side has."""
    linear: Linear
    """For a test of anything but 0."""

    def interval(self, level: float) -> Interval:
        return bootstrap(self.rows, self.of, level=level)

    def p(self, at: float) -> float:
        if at or self.sides is None:
            return self.linear.p(at)
        of, width = self.sides
        return swap_test(self.rows[:, :width], self.rows[:, width:], of)


def level_estimate(rows: np.ndarray, of: Of, design: Design, is_share: bool) -> Estimate:
    """Of one set of images. rows: (trials, k)."""
    if design.prompts >= FEWEST_PROMPTS and is_share and of is mean:
        return Scored(share(rows[:, 0], design))
    if not is_share:
        return _general(rows, of, design, None)
    return _general(rows, of, design, None, tied=lambda value, count: Share(value, count, np.array(np.inf)))


def difference_estimate(rows: np.ndarray, of: Of, design: Design, is_share: bool) -> Estimate:
    """a - b of the same prompts. rows: (trials, 2 k), the columns of a, then those of b."""
    width = rows.shape[1] // 2
    if design.prompts >= FEWEST_PROMPTS and is_share and of is mean:
        return Scored(share_difference(rows[:, 0] - rows[:, 1], design))
    whole = difference(of, width)
    if not is_share:
        return _general(rows, whole, design, (of, width))

    def tied(value: np.ndarray, count: np.ndarray) -> ShareDifference:
        return ShareDifference(np.maximum(value, 0), np.maximum(-value, 0), count, np.array(np.inf))

    return _general(rows, whole, design, (of, width), tied=tied)


def linearised(rows: np.ndarray, of: Of, design: Design) -> Linear:
    """`of` of the mean of rows, (trials, k), which is finite."""
    centre = design.mean(rows.T)
    return Linear(float(of(centre)), design.variance((rows - centre) @ slope(of, centre)))


def _general(rows: np.ndarray, of: Of, design: Design, sides: tuple[Of, int] | None, tied=None) -> Estimate:
    """tied: the estimate of a ratio that no prompt moves, of its value and the number of prompts that have one; None
    for a score."""
    by_prompt = design.by_prompt(rows.T).T
    value = float(of(design.mean(rows.T))) if len(by_prompt) else np.nan
    if design.prompts < FEWEST_PROMPTS or not np.isfinite(value):
        return Unknown(value)
    linear = linearised(rows, of, design)
    if linear.error <= 1e-9:
        if tied is None:
            return Unknown(value, "equal")
        there = np.isfinite(of(by_prompt)).sum()
        return Scored(tied(np.array(value), np.array(float(there)))) if there >= FEWEST_PROMPTS else Unknown(value)
    if design.counts_noises or design.counts_bindings:
        return linear
    return Resampled(by_prompt, of, sides, linear)
