"""How far two judges agree on yes and no: the share of equal answers, and Cohen's kappa."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.numbers.statistics import Interval, bootstrap


@dataclass(frozen=True)
class Agreement:
    """Of two judges, a and b, on the same questions. Intervals are over prompts; every question counts the same."""

    share: Interval
    kappa: Interval
    """Cohen's kappa (1960): (observed - expected) / (1 - expected agreement). 1: they always agree; 0: as often as two
    judges who say yes as often as these, at random. NaN if both give one and the same answer to everything."""
    both: int
    only_a: int
    """Questions to which a says yes and b says no."""
    only_b: int
    neither: int
    prompts: int

    @property
    def count(self) -> int:
        return self.both + self.only_a + self.only_b + self.neither


def agreement(answers: pd.DataFrame) -> Agreement:
    """answers: one row a question, with its `prompt` and the answers `a` and `b`, true or false."""
    a, b = (answers[side].to_numpy(bool) for side in "ab")
    parts = pd.DataFrame({"both": a & b, "only_a": a & ~b, "only_b": b & ~a, "neither": ~a & ~b}, dtype=int)
    by_prompt = parts.groupby(answers["prompt"].to_numpy()).sum().to_numpy(float)
    counts = {name: int(parts[name].sum()) for name in parts}
    return Agreement(bootstrap(by_prompt, _share), bootstrap(by_prompt, _kappa), **counts, prompts=len(by_prompt))


def _share(rows: np.ndarray) -> np.ndarray:
    """Of rows (..., 4): both, only a, only b, neither."""
    return (rows[..., 0] + rows[..., 3]) / rows.sum(axis=-1)


def _kappa(rows: np.ndarray) -> np.ndarray:
    both, only_a, only_b, neither = np.moveaxis(rows, -1, 0)
    with np.errstate(invalid="ignore"):  # 0 / 0 where both give one and the same answer
        whole = both + only_a + only_b + neither
        yes_a, yes_b = (both + only_a) / whole, (both + only_b) / whole
        expected = yes_a * yes_b + (1 - yes_a) * (1 - yes_b)
        return ((both + neither) / whole - expected) / (1 - expected)
