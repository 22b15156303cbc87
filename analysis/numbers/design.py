"""The variance of a mean over trials that share prompts, noises and bindings.

Two trials are alike if they share a prompt, if they start from the same noise, or if their prompts ask for the same
binding. What is said of other prompts, other noises and other bindings has to count each of these:

- over prompts: the trials of one prompt count as one (clustered), so nothing is assumed of how they agree;
- over noises, where prompts share them: what trials of two prompts have in common because they start from one noise;
- over bindings, where they recur in several prompts: what two prompts have in common because they ask for one binding.

What a noise or a binding adds is a covariance: the mean product of two residuals that share it, minus the mean product
of two that share nothing. For noises that every prompt has, that is the ANOVA estimate of two-way random effects
(Searle, Casella and McCulloch 1992, chapter 4). For bindings it is the moment estimate for data on pairs, whose
variance Fafchamps and Gubert (2007) and Cameron, Gelbach and Miller (2011) estimate from the same products. It is
never taken to be below 0.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import sparse

from analysis.text import listed

FEWEST_NOISES = 3
"""With fewer noises that prompts share, nothing is said of other noises: two say too little about how noises differ."""
FEWEST_BINDINGS = 3
ROUNDING = 1e-12
"""What is below this, relatively, is 0: trials that all say the same have no variance at all."""
ASKED = "asked"
"""The column with the bindings that a trial's prompt asks for, a tuple of texts; a frame may lack it."""


@dataclass(frozen=True)
class Variance:
    """The variance of a weighted mean; arrays of the values' leading shape."""

    prompts: np.ndarray
    """What prompts contribute, with n as divisor: for one yes or no a prompt, p (1 - p) / n."""
    added: np.ndarray
    """What shared noises and recurring bindings add; 0 where there are none. More prompts do not lessen it."""
    freedom: np.ndarray
    """Degrees of freedom for t."""
    unbiased: np.ndarray
    """prompts, with n - 1 as divisor, plus added."""


class Design:
    """Which trials share a prompt, a noise, a binding. Every prompt of a group counts the same, and so does every
    group.

    Made once for some trials, it serves every quantity that was measured of them."""

    def __init__(
        self,
        prompt: np.ndarray,
        noise: np.ndarray,
        asked: Sequence[tuple[Hashable, ...]] | None = None,
        group: np.ndarray | None = None,
    ):
        """prompt, noise: (trials,), codes from 0 without gaps. asked: of each prompt, by its code, its bindings.
        group: (trials,), codes of groups of prompts that count the same whatever their size; None: one group."""
        self.trials = len(prompt)
        self.prompts = int(prompt.max()) + 1 if self.trials else 0
        group = np.zeros(self.trials, int) if group is None else group
        groups = int(group.max()) + 1 if self.trials else 0
        first = np.zeros(self.prompts, int)
        first[prompt] = group
        of_group, of_prompt = np.bincount(first, minlength=groups), np.bincount(prompt, minlength=self.prompts)
        self.weights = 1.0 / (groups * of_group[group] * of_prompt[prompt]) if self.trials else np.zeros(0)
        """(trials,), sum to 1."""
        self._groups, self._group, self._of_prompt, self._of_group = groups, group, of_prompt, of_group
        self._by_group, self._by_prompt = _members(group, groups), _members(prompt, self.prompts)
        self._prompts_by_group = _members(first, groups)
        self.prompt_weights = np.bincount(prompt, self.weights, self.prompts)
        self.noises = int(noise.max()) + 1 if self.trials else 0
        cell, places = np.unique(prompt * max(1, self.noises) + noise, return_inverse=True)
        self._by_cell = _members(places, len(cell))
        self._cell_weights = np.bincount(places, self.weights, len(cell))
        self._cell_prompt, cell_noise = np.divmod(cell, max(1, self.noises))
        self._cells_by_noise = _members(cell_noise, self.noises)
        self.noises_each = np.bincount(self._cell_prompt, minlength=self.prompts)
        """(prompts,), how many noises each prompt has."""
        self.own_noises = self.prompts > 1 and self.noises == len(cell)
        """No two prompts share a noise. False for a single prompt."""
        self.one_each = self.trials == self.prompts
        self._shared = _shared_bindings(tuple(asked)) if asked is not None else None

    @classmethod
    def of(cls, rows: pd.DataFrame, group: Sequence[int] | None = None) -> Design:
        """Of rows with `prompt`, `seed` and, if the prompts' bindings are known, ASKED."""
        prompt, prompts = pd.factorize(rows["prompt"], sort=True)
        noise, _ = pd.factorize(rows["seed"])
        asked = None
        if ASKED in rows:
            by_prompt = dict(zip(rows["prompt"], rows[ASKED], strict=True))
            asked = tuple(by_prompt[prompt] for prompt in prompts)
        codes = (prompt, noise) if group is None else (prompt, noise, np.asarray(group))
        return _made(tuple(one.astype(np.int64).tobytes() for one in codes), asked)

    @property
    def counts_noises(self) -> bool:
        """Whether shared noises are counted."""
        return self.prompts > 1 and not self.own_noises and self.noises >= FEWEST_NOISES

    @property
    def counts_bindings(self) -> bool:
        """Whether recurring bindings are counted."""
        return self._shared is not None

    @property
    def few_noises(self) -> bool:
        """Prompts share noises, and too few to say anything of others."""
        return self.prompts > 1 and not self.own_noises and self.noises < FEWEST_NOISES

    @property
    def over(self) -> str:
        """What an interval is over: `prompts, noises and bindings`. Where each prompt has noises of its own, other
        prompts bring other noises, and `prompts` covers both."""
        return listed(["prompts", *["noises"] * self.counts_noises, *["bindings"] * self.counts_bindings])

    def by_prompt(self, values: np.ndarray) -> np.ndarray:
        """The mean of each prompt's trials. values: (..., trials); answers with (..., prompts)."""
        return values @ self._by_prompt / self._of_prompt

    def mean(self, values: np.ndarray) -> np.ndarray:
        """The mean over groups of the mean over prompts of the mean of each prompt's trials. values: (..., trials)."""
        return (self.by_prompt(values) @ self._prompts_by_group / self._of_group).mean(-1)

    def variance(self, values: np.ndarray) -> Variance:
        """The variance of `mean(values)`. values: (..., trials), of at least two prompts."""
        weighted = values * self.weights
        of_group = weighted @ self._by_group * self._groups
        residuals = weighted - of_group[..., self._group] * self.weights
        residuals = np.where(np.abs(residuals) > ROUNDING * self.weights, residuals, 0.0)
        by_prompt = residuals @ self._by_prompt
        prompts = (by_prompt**2).sum(-1)
        degrees = max(1, self.prompts - self._groups)
        unbiased = prompts * self.prompts / degrees
        freedom = np.full(prompts.shape, float(degrees))
        added = np.zeros(prompts.shape)
        if self.counts_noises:
            noises, freedom = self._of_noises(residuals, prompts, unbiased, degrees)
            added = added + noises
        if self._shared is not None:
            added = added + self._shared.covariance(by_prompt, prompts)
            freedom = np.minimum(freedom, self._shared.bindings - 1)
        return Variance(prompts, added, freedom, unbiased + added)

    def _of_noises(
        self, residuals: np.ndarray, prompts: np.ndarray, unbiased: np.ndarray, degrees: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """What shared noises add, and the degrees of freedom of all (Satterthwaite 1946), never fewer than the noises
        have. residuals: (..., trials), weighted. unbiased: what prompts contribute, with `degrees` as divisor."""
        cells = residuals @ self._by_cell
        weights = self._cell_weights
        of_noise, shares = cells @ self._cells_by_noise, weights @ self._cells_by_noise
        same, alike = (of_noise**2).sum(-1) - (cells**2).sum(-1), (shares**2).sum() - (weights**2).sum()
        apart, unlike = -prompts - same, 1 - (self.prompt_weights**2).sum() - alike
        covariance = same / alike - apart / unlike  # three noises, of which prompts share one, have pairs of both kinds
        covariance = np.where(np.abs(covariance) > ROUNDING * prompts, covariance, 0.0)
        added = np.maximum(0, covariance) * (shares**2).sum()
        rest = self._rest(cells, covariance, prompts)
        fewer = max(1.0, 1 / (shares**2).sum() - 1)
        squares = unbiased**2 / degrees
        squares = squares + np.where(added > 0, (added + rest) ** 2 / fewer + rest**2 / (degrees * fewer), 0)
        with np.errstate(invalid="ignore"):
            freedom = np.where(squares > 0, (unbiased + added) ** 2 / squares, degrees)
        return added, np.clip(freedom, min(fewer, degrees), degrees)

    def _rest(self, cells: np.ndarray, covariance: np.ndarray, prompts: np.ndarray) -> np.ndarray:
        """What is left of the mean's variance once prompts and noises are taken out of each prompt's noises."""
        spare = len(self._cell_weights) - self.prompts
        if not spare:
            return prompts
        means = cells / self._cell_weights
        of_prompt = cells @ _members(self._cell_prompt, self.prompts) / self.prompt_weights
        within = ((means - of_prompt[..., self._cell_prompt]) ** 2).sum(-1) / spare
        return np.maximum(0, within - covariance) * (self._cell_weights**2).sum()


@lru_cache(maxsize=64)
def _made(codes: tuple[bytes, ...], asked: tuple[tuple[Hashable, ...], ...] | None) -> Design:
    """A table measures the same trials many times."""
    prompt, noise, *group = (np.frombuffer(one, np.int64) for one in codes)
    return Design(prompt, noise, asked, *group)


@dataclass(frozen=True)
class _Shared:
    """How many bindings each two prompts share."""

    counts: sparse.csr_array
    """(prompts, prompts), 0 on the diagonal."""
    bindings: int

    def covariance(self, by_prompt: np.ndarray, squares: np.ndarray) -> np.ndarray:
        """What recurring bindings add to the variance of the mean: the least-squares slope of the products of two
        prompts' residuals on how many bindings they share, times the mean number shared.

        by_prompt: (..., prompts), weighted residuals that sum to 0; squares: the sum of their squares."""
        pairs = self.counts.shape[0] * (self.counts.shape[0] - 1)
        shared, spread = self.counts.sum() / pairs, (self.counts.data**2).sum() / pairs
        products = ((by_prompt @ self.counts) * by_prompt).sum(-1)
        slope = (products + shared * squares) / pairs / (spread - shared**2)
        return np.where(slope > ROUNDING * squares, slope, 0.0) * shared * self.counts.shape[0] ** 2


@lru_cache(maxsize=64)
def _shared_bindings(asked: tuple[tuple[Hashable, ...], ...]) -> _Shared | None:
    """None where no binding recurs, or where nothing can be told from how they do: every two prompts share as many."""
    names = {name: place for place, name in enumerate(dict.fromkeys(name for own in asked for name in own))}
    pairs = sorted({(row, names[name]) for row, own in enumerate(asked) for name in own})
    if len(pairs) == len(names) or len(names) < FEWEST_BINDINGS:
        return None
    rows, columns = zip(*pairs, strict=True)
    incidence = sparse.csr_array((np.ones(len(pairs)), (rows, columns)), shape=(len(asked), len(names)))
    counts = sparse.csr_array(incidence @ incidence.T)
    counts.setdiag(0)
    counts.eliminate_zeros()
    number = len(asked) * (len(asked) - 1)
    if (counts.data**2).sum() / number - (counts.sum() / number) ** 2 <= 1e-12:
        return None
    return _Shared(counts, len(names))


def _members(codes: np.ndarray, count: int) -> sparse.csr_array:
    """Which trial is in which group, (trials, count): `values @ members` sums each group's values."""
    places = np.arange(len(codes))
    return sparse.csr_array((np.ones(len(codes)), (places, codes)), shape=(len(codes), count))
