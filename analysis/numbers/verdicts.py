"""What a comparison says: better, worse, equivalent, or undecided with the reason and what would decide it.

- better, worse: the 95% interval excludes zero, the test agrees, and at least 6 prompts differ: an exact test of fewer
  cannot reach p < 0.05 (2 / 2^5 = 0.0625).
- equivalent: the 90% interval lies within ± the margin: two one-sided tests at 5% (Schuirmann 1987).
- undecided: all else. Where all prompts share one or two noises nothing is decided, for nothing is known of others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.numbers.statistics import FEWEST_PROMPTS, LEVEL, Interval

BETTER, WORSE, EQUIVALENT, UNDECIDED = "better", "worse", "equivalent", "undecided"
MARGIN = 0.05
"""Differences of shares up to this count as none, unless the report is given another margin."""
TOST_LEVEL = 0.9
"""Of the interval that has to lie within the margin."""
POWER = 0.8
MOST_PROMPTS = 10_000
"""More prompts than this are out of reach, and not counted."""
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Verdict:
    """A word, and for UNDECIDED why."""

    word: str
    why: str = ""
    more: float = float("nan")
    """About how many more prompts would decide; infinite where no number would."""

    @property
    def short(self) -> str:
        """For a cell: `better`, or `undecided (+120)`, where so many more prompts would decide."""
        if self.word != UNDECIDED or not np.isfinite(self.more):
            return self.word
        return f"{self.word} (+{_rounded(self.more):,})" if self.more <= MOST_PROMPTS else self.word

    @property
    def text(self) -> str:
        """`better`, or `undecided: about 120 more prompts would decide`."""
        return f"{self.word}: {self.why}" if self.why else self.word


@dataclass(frozen=True)
class Planning:
    """What a comparison tells of a larger one like it."""

    difference: float
    prompts: int
    pairs_each: float
    """Pairs of one prompt."""
    differing: int
    """Prompts that differ."""
    spread: float
    """The variance that one prompt contributes."""
    fixed: float
    """The variance that more prompts do not lessen: of shared noises and recurring bindings."""
    freedom: float
    limited_by: str
    """`noises`, `bindings` or `noises and bindings`, if the design has a fixed part."""
    share: bool

    @property
    def detectable(self) -> float:
        """The smallest true difference that this design finds with a probability of POWER; NaN for too few prompts.

        The variance is the observed one, but never less than if one prompt differed; of shares, 6 prompts have to."""
        if self.prompts < FEWEST_PROMPTS:
            return np.nan
        spread = max(self.spread, 1 / self.prompts) if self.share else self.spread
        error = np.sqrt(spread / self.prompts + self.fixed)
        reach = (stats.t.ppf((1 + LEVEL) / 2, self.freedom) + stats.norm.ppf(POWER)) * error
        return float(max(reach, FEWEST_PROMPTS / self.prompts / self.pairs_each) if self.share else reach)

    def needed(self, margin: float) -> float:
        """The prompts with which the observed difference would be found, or found to lie within the margin, with a
        probability of POWER, whichever are fewer; infinite if no number is enough."""
        sizes = [self._to_find()]
        if self.share:
            sizes.append(self._to_bound(margin))
        return min(sizes)

    def _reach(self, level: float) -> float:
        """Half of an interval in standard errors. More prompts give a design more degrees of freedom, unless its noises
        or bindings limit them."""
        return float(stats.t.ppf((1 + level) / 2, self.freedom if self.limited_by else np.inf))

    def _to_find(self) -> float:
        reach = self._reach(LEVEL) + stats.norm.ppf(POWER)
        room = (self.difference / reach) ** 2 - self.fixed
        if room <= 0 or not self.differing:
            return np.inf
        return max(self.spread / room, FEWEST_PROMPTS * self.prompts / self.differing)

    def _to_bound(self, margin: float) -> float:
        reach = self._reach(TOST_LEVEL)
        distance = abs(self.difference)
        if distance >= margin:
            return np.inf
        low, high = 1e-9, margin
        for _ in range(60):  # the largest standard error at which both one-sided tests succeed often enough
            error = (low + high) / 2
            success = stats.norm.cdf((margin - distance) / error - reach)
            success += stats.norm.cdf((margin + distance) / error - reach) - 1
            low, high = (error, high) if success >= POWER else (low, error)
        room = low**2 - self.fixed
        untouched = reach**2 * (1 - margin) / margin  # prompts without a difference whose score interval is that short
        return max(self.spread / room, untouched) if room > 0 else np.inf


def verdict(
    wide: Interval, narrow: Interval, p: float, margin: float, better: int, few_noises: int, plan: Planning
) -> Verdict:
    """wide, narrow: the intervals of 95% and of TOST_LEVEL. better: +1 if a larger value is better, else -1.
    few_noises: how many noises all prompts share, if too few; else 0."""
    if plan.prompts < FEWEST_PROMPTS:
        return Verdict(UNDECIDED, f"{_some(plan.prompts, 'prompt')}; at least {FEWEST_PROMPTS} are needed")
    if wide.kind == "equal":
        return Verdict(UNDECIDED, "every prompt has the same value")
    if few_noises:
        noises = f"{_some(few_noises, 'noise')} that all prompts share nothing can be said of other noises"
        return Verdict(UNDECIDED, f"with {noises}; give at least 3 seeds, or own_noise=true")
    found = wide.excludes_zero and p < SIGNIFICANT
    if found and plan.differing >= FEWEST_PROMPTS:
        return Verdict(BETTER if wide.value * better > 0 else WORSE)
    if plan.share and -margin < narrow.low and narrow.high < margin:
        return Verdict(EQUIVALENT)
    needed = plan.needed(margin)
    more = max(1.0, np.ceil(needed - plan.prompts)) if np.isfinite(needed) else np.inf
    why = _more(more, plan)
    if found:
        why = f"only {_some(plan.differing, 'prompt')} differ{'s' * (plan.differing == 1)}; {why}"
    return Verdict(UNDECIDED, why, more)


def _more(more: float, plan: Planning) -> str:
    if more <= MOST_PROMPTS:
        return f"about {_some(_rounded(more), 'more prompt')} would decide"
    if plan.limited_by and not np.isfinite(more):
        return f"more {plan.limited_by}, not more prompts, would decide"
    return f"more than {MOST_PROMPTS:,} more prompts would be needed"


def _rounded(count: float) -> int:
    """To two digits."""
    digits = 10 ** max(0, len(str(int(count))) - 2)
    return int(np.ceil(count / digits) * digits)


def _some(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
