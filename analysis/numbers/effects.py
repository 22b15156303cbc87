"""Numbers about trials: a level, a change from before to after, a difference between two sets of trials.

Each carries what it was computed from. A value is the mean over prompts of the mean over a prompt's trials: a prompt
with more seeds does not count more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.numbers.measures import Measure
from analysis.numbers.statistics import (
    Interval,
    bootstrap,
    cohen_dz,
    crossed_interval,
    difference,
    rank_biserial,
    swap_test,
)

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
    pairs = rows[["prompt", "seed"]].drop_duplicates()
    counts = pairs["prompt"].value_counts()
    if counts.empty:
        return Noises(0, 0, 0, 0, own=False)
    own = len(counts) > 1 and not pairs["seed"].duplicated().any()
    return Noises(len(counts), pairs["seed"].nunique(), int(counts.min()), int(counts.max()), own)


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
    noises: Noises
    trials: int

    @property
    def value(self) -> float:
        return self.interval.value


@dataclass(frozen=True)
class Effect(_Counted):
    """A measure of the images of one side minus that of the other, paired."""

    a: float
    b: float
    difference: Interval
    """a - b, over prompts."""
    crossed: Interval
    """The same over prompts and seeds, if prompts share seeds; of the kind `nested` if each prompt has its own."""
    p: float
    """Two-sided, of the swap test, not adjusted."""
    d_z: float
    rank_biserial: float
    win: int
    """Pairs in which a is better than b: larger, or smaller where lower is better."""
    tie: int
    loss: int
    noises: Noises
    pairs: int
    unpaired_a: int = 0
    """Trials of a that have no partner in b and are left out."""
    unpaired_b: int = 0


def level(rows: pd.DataFrame, measure: Measure, image: str = "best") -> Level:
    """A measure of the `initial` or `best` images of these trials."""
    columns = measure.columns(image)
    rows = rows[["prompt", "seed", *columns]].dropna()
    return Level(bootstrap(_by_prompt(rows, columns), measure.of), noises(rows), len(rows))


def change(rows: pd.DataFrame, measure: Measure) -> Effect:
    """After minus before, within each trial."""
    before, after = measure.columns("initial"), measure.columns("best")
    pairs = rows[["prompt", "seed", *before, *after]].dropna()
    return _effect(pairs, after, before, measure)


def versus(a: pd.DataFrame, b: pd.DataFrame, measure: Measure, on: Sequence[str] = PAIR, image: str = "best") -> Effect:
    """a minus b, over the trials that agree in `on`. Trials without a partner are counted and left out."""
    columns = measure.columns(image)
    keys = list(dict.fromkeys((*PAIR, *on)))
    a, b = (side[[*keys, *columns]].dropna(subset=columns) for side in (a, b))
    pairs = a.merge(b, on=keys, suffixes=("|a", "|b"))
    sides = ([f"{column}|{side}" for column in columns] for side in "ab")
    return _effect(pairs, *sides, measure, len(a) - len(pairs), len(b) - len(pairs))


def _effect(
    pairs: pd.DataFrame, a: list[str], b: list[str], measure: Measure, unpaired_a: int = 0, unpaired_b: int = 0
) -> Effect:
    rows = _by_prompt(pairs, [*a, *b])
    width, of = len(a), measure.of
    of_a, of_b = of(rows[:, :width]), of(rows[:, width:])
    moves = (of_a - of_b)[np.isfinite(of_a - of_b)]
    values = pairs[[*a, *b]].to_numpy(float)
    ahead = measure.better * (of(values[:, :width]) - of(values[:, width:]))
    tie = np.abs(ahead) <= 1e-9
    ends = rows.mean(axis=0) if len(rows) else np.full(2 * width, np.nan)
    over_prompts, started = bootstrap(rows, difference(of, width)), noises(pairs)
    crossed = Interval(over_prompts.value, np.nan, np.nan, "nested")
    if not started.own:
        crossed = crossed_interval(_cells(pairs, [*a, *b]), difference(of, width))
    return Effect(
        a=float(of(ends[:width])),
        b=float(of(ends[width:])),
        difference=over_prompts,
        crossed=crossed,
        p=swap_test(rows[:, :width], rows[:, width:], of),
        d_z=cohen_dz(moves),
        rank_biserial=rank_biserial(moves),
        win=int((ahead > 1e-9).sum()),
        tie=int(tie.sum()),
        loss=int((ahead < -1e-9).sum()),
        noises=started,
        pairs=len(pairs),
        unpaired_a=unpaired_a,
        unpaired_b=unpaired_b,
    )


def _by_prompt(rows: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """One row a prompt, the mean of its trials: (n prompts, len(columns)), in the order of the prompts."""
    codes, prompts = pd.factorize(rows["prompt"], sort=True)
    sums = np.zeros((len(prompts), len(columns)))
    np.add.at(sums, codes, rows[columns].to_numpy(float))
    return sums / np.bincount(codes, minlength=len(prompts))[:, None]


def _cells(rows: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """The mean of the trials of each prompt and seed: (prompts, seeds, len(columns)), NaN where there is none."""
    prompt, prompts = pd.factorize(rows["prompt"], sort=True)
    seed, seeds = pd.factorize(rows["seed"], sort=True)
    place = prompt * len(seeds) + seed
    counts = np.bincount(place, minlength=len(prompts) * len(seeds)).astype(float)
    sums = np.zeros((len(counts), len(columns)))
    np.add.at(sums, place, rows[columns].to_numpy(float))
    counts[counts == 0] = np.nan
    return (sums / counts[:, None]).reshape(len(prompts), len(seeds), len(columns))
