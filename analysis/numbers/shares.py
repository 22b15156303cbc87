"""Intervals and tests of shares and of differences of shares, that hold where few prompts differ or none.

Both are score intervals: the values that a score test does not reject. So interval and test agree, and where every
prompt says the same the interval still has a width: of 12 prompts without a difference it is ±0.24.

They are made for counts. For several trials a prompt, for shares of bindings, and where prompts share noises or
bindings, the counts are those of as many independent prompts as would give the same variance (`count`). That variance
is itself estimated, so t with the design's degrees of freedom takes the place of the normal distribution. For one yes
or no a prompt they are exactly the intervals of Wilson and Tango.

All arrays may have leading dimensions, e.g. of simulated data sets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.numbers.design import Design

BISECTIONS = 34
"""Limits are exact to 2 / 2^34, about 1e-10."""


@dataclass(frozen=True)
class Share:
    """A share in [0, 1], with Wilson's score interval (1927)."""

    value: np.ndarray
    count: np.ndarray
    """Independent prompts that would give the same variance. > 0."""
    freedom: np.ndarray
    """For t; infinite for the normal distribution."""

    def interval(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        reach = stats.t.ppf((1 + level) / 2, self.freedom)
        shrink = reach**2 / self.count
        middle = (self.value + shrink / 2) / (1 + shrink)
        half = np.sqrt(np.maximum(0, self.value * (1 - self.value) * shrink + shrink**2 / 4)) / (1 + shrink)
        return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)

    def p(self, at: float) -> np.ndarray:
        """Two-sided p of "the share is `at`"; at: in (0, 1)."""
        error = np.sqrt(at * (1 - at) / self.count)
        return 2 * stats.t.sf(np.abs(self.value - at) / error, self.freedom)


@dataclass(frozen=True)
class ShareDifference:
    """A difference of two shares of the same prompts, in [-1, 1], with the score interval of Tango (1998)."""

    plus: np.ndarray
    """The mean of what a is ahead, in [0, 1]: for yes or no the share of prompts with a alone."""
    minus: np.ndarray
    """The mean of what b is ahead."""
    count: np.ndarray
    freedom: np.ndarray

    @property
    def value(self) -> np.ndarray:
        return self.plus - self.minus

    def interval(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        reach = stats.t.ppf((1 + level) / 2, self.freedom)
        low, high = self._limits(np.stack([reach, -reach]))
        return low, high

    def p(self, at: float = 0.0) -> np.ndarray:
        """Two-sided p of "the difference is `at`". At 0, for one yes or no a prompt, it is McNemar's test (1947)."""
        return 2 * stats.t.sf(np.abs(self._statistic(np.asarray(float(at)))), self.freedom)

    def _limits(self, wanted: np.ndarray) -> np.ndarray:
        """Where the statistic, which falls with the difference, has these values, by bisection."""
        high = np.ones(np.shape(wanted + self.value))
        low = -high
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            above = self._statistic(middle) > wanted
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return (low + high) / 2

    def _statistic(self, at: np.ndarray) -> np.ndarray:
        """Tango's score statistic (1998, equation 8): the distance from `at` over the standard error under it, at the
        maximum-likelihood share of prompts with b alone."""
        plus, minus = self.plus, self.minus
        linear = (2 - plus + minus) * at - (plus + minus)
        b_alone = (np.sqrt(np.maximum(0, linear**2 + 8 * minus * at * (1 - at))) - linear) / 4
        variance = np.maximum(0, 2 * b_alone + at * (1 - at)) / self.count
        distance = plus - minus - at
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(distance == 0, 0.0, distance / np.sqrt(variance))


def share(values: np.ndarray, design: Design) -> Share:
    """The mean over prompts of values in [0, 1], (..., trials)."""
    value = np.clip(design.mean(values), 0, 1)
    edge = np.minimum(np.where(values > 0, values, 1), np.where(values < 1, 1 - values, 1)).min(-1)
    return Share(value, *_counted(value * (1 - value), values, edge, design))


def share_difference(values: np.ndarray, design: Design) -> ShareDifference:
    """The mean over prompts of paired differences of shares in [-1, 1], (..., trials)."""
    plus, minus = design.mean(np.maximum(values, 0)), design.mean(np.maximum(-values, 0))
    edge = np.where(values != 0, np.abs(values), 1).min(-1)
    return ShareDifference(plus, minus, *_counted(plus + minus - (plus - minus) ** 2, values, edge, design))


def _counted(of_one: np.ndarray, values: np.ndarray, edge: np.ndarray, design: Design) -> tuple[np.ndarray, np.ndarray]:
    """(count, freedom). of_one: the variance of one prompt's yes or no at these shares. edge: the smallest step of the
    values, so that a count is never above that of all single answers.

    Where nothing varies, the count is that of the prompts: more of one prompt's trials may all say the same."""
    variance = design.variance(values)
    counted = variance.prompts + variance.added
    varies = (of_one > 1e-12) & (counted > 1e-15)
    alone = 1 / (design.prompt_weights**2).sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        count = np.where(varies, np.minimum(of_one / counted, design.trials / edge), alone)
    exact = design.one_each and not design.counts_noises and not design.counts_bindings
    freedom = np.where(exact & (edge == 1), np.inf, variance.freedom)
    return count, freedom
