"""Numbers about trials: a level, a change from before to after, a difference between two sets of trials.

Each carries what it was computed from. A value is the mean over prompts of the mean over a prompt's trials: a prompt
with more seeds does not count more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.numbers.design import ASKED, Design
from analysis.numbers.estimates import Estimate, Unknown, difference_estimate, level_estimate, linearised
from analysis.numbers.measures import Measure
from analysis.numbers.statistics import FEWEST_PROMPTS, LEVEL, Interval, cohen_dz, difference
from analysis.numbers.verdicts import MARGIN, TOST_LEVEL, Planning, Verdict, verdict

PAIR = ("prompt", "seed")


@dataclass(frozen=True)
class Noises:
    """Which noises the trials of some prompts start from."""

    prompts: int
    seeds: int
    """How many different seeds, over all prompts."""
    fewest: int
    """Seeds of the prompt that has the fewest."""
    most: int
    """Seeds of the prompt that has the most."""
    own: bool
    """No two prompts share a seed: each prompt has its own noises. False for a single prompt."""

    @property
    def each(self) -> str:
        """Seeds a prompt: `2`, or `1–2` where prompts differ."""
        return f"{self.most}" if self.fewest == self.most else f"{self.fewest}–{self.most}"

    @property
    def in_words(self) -> str:
        """`40 prompts, 3 seeds`, or `40 prompts with 2 noises of their own each`."""
        if self.own:
            return f"{self.prompts} prompts with {_some(self.most, self.each, 'noise')} of their own each"
        return f"{_some(self.prompts, self.prompts, 'prompt')}, {_some(self.seeds, self.seeds, 'seed')}"

    @property
    def times(self) -> str:
        """`40 × 3`, prompts x seeds, or `40 × 2 own`, prompts x noises of each prompt's own."""
        return f"{self.prompts} × {self.each} own" if self.own else f"{self.prompts} × {self.seeds}"


def noises(rows: pd.DataFrame) -> Noises:
    """Of rows with a `prompt` and a `seed`."""
    return _noises_of(Design.of(rows[list(PAIR)]))


def _noises_of(design: Design) -> Noises:
    if not design.prompts:
        return Noises(0, 0, 0, 0, own=False)
    each = design.noises_each
    return Noises(design.prompts, design.noises, int(each.min()), int(each.max()), design.own_noises)


def _some(count: int, shown: object, what: str) -> str:
    return f"{shown} {what}{'s' * (count != 1)}"


class _Counted:
    """The counts that tables show beside a number."""

    noises: Noises

    @property
    def prompts(self) -> int:
        return self.noises.prompts

    @property
    def seeds(self) -> int:
        return self.noises.seeds


@dataclass(frozen=True)
class Level(_Counted):
    """A measure of one set of images."""

    interval: Interval
    """Of 95%, over what `over` says."""
    noises: Noises
    trials: int
    over: str = "prompts"
    """`prompts`, or `prompts, noises and bindings`: see Design.over."""
    estimate: Estimate | None = None
    few_noises: int = 0
    """How many noises all prompts share, if they are too few to say anything of others; else 0."""

    @property
    def value(self) -> float:
        return self.interval.value


@dataclass(frozen=True)
class Effect(_Counted):
    """A measure of the images of one side minus that of the other, paired."""

    a: float
    b: float
    difference: Interval
    """a - b, of 95%, over what `over` says. It decides."""
    narrow: Interval
    """The same of 90%, for equivalence."""
    over: str
    """`prompts`, or `prompts, noises and bindings`: see Design.over."""
    p: float
    """Two-sided, of no difference, not adjusted; NaN with fewer than 6 prompts."""
    d_z: float
    """Of a metric's score; NaN of a share, whose standard deviation follows from the share itself."""
    win: int
    """Pairs in which a is better than b: larger, or smaller where lower is better."""
    tie: int
    loss: int
    noises: Noises
    pairs: int
    measure: Measure
    estimate: Estimate
    plan: Planning
    few_noises: int = 0
    """How many noises all prompts share, if they are too few to say anything of others; else 0."""
    unpaired_a: int = 0
    """Trials of a that have no partner in b and are left out."""
    unpaired_b: int = 0

    @property
    def differing(self) -> int:
        """Prompts in which a and b differ."""
        return self.plan.differing

    @property
    def detectable(self) -> float:
        """The smallest true difference that so many prompts, that vary like these, show in 4 of 5 studies."""
        return self.plan.detectable

    def verdict(self, margin: float = MARGIN) -> Verdict:
        """Better, worse, equivalent within ± margin, or undecided."""
        better = self.measure.better
        return verdict(self.difference, self.narrow, self.p, margin, better, self.few_noises, self.plan)


def unchanging(effect: Effect) -> Effect:
    """An effect that cannot vary, because both sides are the same images: without interval, test and verdict."""
    same = Unknown(effect.difference.value, "equal")
    interval = same.interval(LEVEL)
    return replace(effect, difference=interval, narrow=interval, p=np.nan, estimate=same)


def level(rows: pd.DataFrame, measure: Measure, image: str = "best", group: str | None = None) -> Level:
    """A measure of the `initial` or `best` images of these trials. group: a column whose values count the same, however
    many prompts each has."""
    columns = measure.columns(image)
    rows = rows[[*_keys(rows), *([group] if group else []), *columns]].dropna(subset=columns)
    design = Design.of(rows, None if group is None else pd.factorize(rows[group])[0])
    estimate = level_estimate(rows[columns].to_numpy(float), measure.of, design, measure.share)
    few = design.noises if design.few_noises else 0
    return Level(estimate.interval(LEVEL), _noises_of(design), len(rows), design.over, estimate, few)


def change(rows: pd.DataFrame, measure: Measure) -> Effect:
    """After minus before, within each trial."""
    before, after = measure.columns("initial"), measure.columns("best")
    pairs = rows[[*_keys(rows), *before, *after]].dropna(subset=[*before, *after])
    return _effect(pairs, after, before, measure)


def versus(a: pd.DataFrame, b: pd.DataFrame, measure: Measure, on: Sequence[str] = PAIR, image: str = "best") -> Effect:
    """a minus b, over the trials that agree in `on`. Trials without a partner are counted and left out."""
    columns = measure.columns(image)
    keys = list(dict.fromkeys((*PAIR, *on)))
    of_a, of_b = a[[*dict.fromkeys((*_keys(a), *keys)), *columns]], b[[*keys, *columns]]
    of_a, of_b = of_a.dropna(subset=columns), of_b.dropna(subset=columns)
    pairs = of_a.merge(of_b, on=keys, suffixes=("|a", "|b"))
    sides = ([f"{column}|{side}" for column in columns] for side in "ab")
    return _effect(pairs, *sides, measure, len(of_a) - len(pairs), len(of_b) - len(pairs))


def _keys(rows: pd.DataFrame) -> list[str]:
    return [*PAIR, *([ASKED] if ASKED in rows else [])]


def _effect(
    pairs: pd.DataFrame, a: list[str], b: list[str], measure: Measure, unpaired_a: int = 0, unpaired_b: int = 0
) -> Effect:
    design, width, of = Design.of(pairs), len(a), measure.of
    values = pairs[[*a, *b]].to_numpy(float)
    by_prompt = design.by_prompt(values.T).T
    moves = of(by_prompt[:, :width]) - of(by_prompt[:, width:])
    moves = moves[np.isfinite(moves)]
    ahead = measure.better * (of(values[:, :width]) - of(values[:, width:]))
    ends = design.mean(values.T) if len(pairs) else np.full(2 * width, np.nan)
    estimate = difference_estimate(values, of, design, measure.share)
    return Effect(
        a=float(of(ends[:width])),
        b=float(of(ends[width:])),
        difference=estimate.interval(LEVEL),
        narrow=estimate.interval(TOST_LEVEL),
        over=design.over,
        p=estimate.p(0.0),
        d_z=np.nan if measure.share else cohen_dz(moves),
        win=int((ahead > 1e-9).sum()),
        tie=int((np.abs(ahead) <= 1e-9).sum()),
        loss=int((ahead < -1e-9).sum()),
        noises=_noises_of(design),
        pairs=len(pairs),
        measure=measure,
        estimate=estimate,
        plan=_planning(values, difference(of, width), design, int((np.abs(moves) > 1e-9).sum()), measure.share),
        few_noises=design.noises if design.few_noises else 0,
        unpaired_a=unpaired_a,
        unpaired_b=unpaired_b,
    )


def _planning(values: np.ndarray, of, design: Design, differing: int, share: bool) -> Planning:
    prompts = design.prompts
    each = design.trials / max(1, prompts)
    value = float(of(design.mean(values.T))) if prompts else np.nan
    limits = [name for name in ("noises", "bindings") if name in design.over]
    if prompts < FEWEST_PROMPTS or not np.isfinite(value):
        return Planning(value, prompts, each, differing, np.nan, np.nan, np.nan, " and ".join(limits), share)
    variance = linearised(values, of, design).variance
    fixed = float(variance.added)
    spread = float(variance.unbiased - variance.added) * prompts
    return Planning(
        value, prompts, each, differing, spread, fixed, float(variance.freedom), " and ".join(limits), share
    )
