"""Spearman's rho against scipy, and its interval against drawing the rows themselves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.numbers.correlation import spearman
from analysis.numbers.statistics import SEED, prompt_draws


def rows_of(prompts=30, seeds=2, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=prompts * seeds)
    y = np.digitize(x + noise * rng.normal(size=len(x)), [-1, 0, 1]) / 2  # few values, so many ties
    return pd.DataFrame({"prompt": [f"p{k % prompts}" for k in range(len(x))], "x": x, "y": y})


def test_rho_is_scipys_with_ties():
    rows = rows_of()
    assert spearman(rows, "x", "y").value == pytest.approx(stats.spearmanr(rows["x"], rows["y"]).statistic)
    assert spearman(rows.assign(x=rows["x"].round(0)), "x", "y").value == pytest.approx(
        stats.spearmanr(rows["x"].round(0), rows["y"]).statistic
    )


def test_the_interval_is_that_of_whole_prompts_drawn_again():
    """The reference repeats the rows of the drawn prompts and asks scipy."""
    rows, drawn = rows_of(prompts=12), []
    names = sorted(rows["prompt"].unique())
    for times in (prompt_draws(12, 1999, SEED)[:150] * 12).round().astype(int):
        again = pd.concat(
            [rows[rows["prompt"] == name] for name, count in zip(names, times, strict=True) for _ in range(count)]
        )
        drawn.append(stats.spearmanr(again["x"], again["y"]).statistic)
    found = spearman(rows, "x", "y")
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.05) and found.kind == "percentile"


def test_trials_of_one_prompt_are_no_independent_data():
    alone, copied = rows_of(seeds=1), pd.concat([rows_of(seeds=1)] * 4)
    wide, same = spearman(alone, "x", "y"), spearman(copied, "x", "y")
    assert (same.value, same.low, same.high) == pytest.approx((wide.value, wide.low, wide.high))


def test_without_variation_or_with_few_prompts_there_is_no_interval():
    rows = rows_of(prompts=5)
    few = spearman(rows, "x", "y")
    assert np.isfinite(few.value) and few.kind == "none" and np.isnan(few.low)
    assert np.isnan(spearman(rows.assign(y=1.0), "x", "y").value)
    assert np.isnan(spearman(rows[:0], "x", "y").value)
    assert spearman(rows_of().assign(y=lambda frame: frame["x"]), "x", "y").value == pytest.approx(1)


def test_six_prompts_have_an_interval_and_five_have_none():
    rows = rows_of(prompts=6, seeds=3, noise=0.5)
    assert spearman(rows, "x", "y").kind == "percentile"
    few = spearman(rows[rows["prompt"] != "p0"], "x", "y")
    assert few.kind == "none" and np.isnan([few.low, few.high]).all() and few.value == few.value


def test_where_most_resamples_do_not_vary_there_is_a_value_and_no_interval():
    """One prompt of twelve differs from the others: a third of the resamples leave it out."""
    rows = pd.DataFrame({"prompt": [f"p{k}" for k in range(12)], "x": [0.0] * 11 + [1.0], "y": [0.0] * 11 + [2.0]})
    found = spearman(rows, "x", "y")
    assert found.value == pytest.approx(1) and found.kind == "none" and np.isnan([found.low, found.high]).all()
