"""Intervals, tests and effect sizes against scipy, against hands, and on data with a known truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.numbers.statistics import (
    EXACT_PROMPTS,
    Interval,
    _signs,
    bootstrap,
    cohen_dz,
    difference,
    holm,
    mean,
    ratio,
    swap_test,
)

WORLDS = 400


def clustered(rng, prompts=30, seeds=3, share=0.6):
    """Bound or not, (prompts, seeds): seeds of a prompt agree strongly (its own odds are near 0 or 1)."""
    odds = rng.beta(0.3 * share, 0.3 * (1 - share), size=prompts)
    return (rng.random((prompts, seeds)) < odds[:, None]).astype(float)


@pytest.mark.parametrize("method", ["BCa", "percentile"])
def test_the_interval_of_a_mean_is_scipys(method):
    values = np.random.default_rng(1).exponential(size=40)
    ours = bootstrap(values, method=method)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=9999, method=method, rng=2).confidence_interval
    assert ours.kind == method
    assert ours.value == pytest.approx(values.mean())
    np.testing.assert_allclose([ours.low, ours.high], theirs, atol=0.04)


def test_the_interval_of_a_ratio_is_scipys():
    rng = np.random.default_rng(3)
    there = rng.uniform(0.3, 1, 50)
    bound = there * rng.beta(2, 5, 50)
    ours = bootstrap(np.column_stack([bound, there]), ratio)
    theirs = stats.bootstrap(
        (bound, there),
        lambda a, b, axis=-1: a.mean(axis) / b.mean(axis),
        paired=True,
        n_resamples=9999,
        method="BCa",
        rng=4,
    ).confidence_interval
    np.testing.assert_allclose([ours.low, ours.high], theirs, atol=0.005)


@pytest.mark.parametrize("method", ["BCa", "percentile"])
def test_intervals_cover_the_truth_about_as_often_as_they_say_and_those_over_trials_do_not(method):
    rng = np.random.default_rng(5)
    covered, naive = 0, 0
    for _ in range(WORLDS):
        trials = clustered(rng)
        interval = bootstrap(trials.mean(axis=1), method=method)
        covered += interval.low <= 0.6 <= interval.high
        over_trials = bootstrap(trials.ravel(), method=method)
        naive += over_trials.low <= 0.6 <= over_trials.high
    assert 0.91 <= covered / WORLDS <= 0.98
    assert naive / WORLDS < 0.85


def test_intervals_of_a_difference_of_ratios_cover_the_truth():
    """Bound given present: 0.7 against 0.5, whatever the presence, which differs from prompt to prompt."""
    rng = np.random.default_rng(6)
    covered = 0
    for _ in range(WORLDS):
        sides = []
        for share in (0.7, 0.5):
            there = rng.binomial(6, rng.beta(4, 2, size=40))
            sides += [rng.binomial(there, share) / 6, there / 6]
        interval = bootstrap(np.column_stack(sides), difference(ratio, 2))
        covered += interval.low <= 0.2 <= interval.high
    assert 0.92 <= covered / WORLDS <= 0.98


def test_a_true_null_is_rejected_at_five_percent_though_seeds_agree_and_a_test_over_trials_rejects_more():
    rng = np.random.default_rng(7)
    rejected, naive = 0, 0
    for _ in range(WORLDS):
        prompt = rng.normal(size=(24, 1))
        a, b = (prompt + rng.normal(size=(24, 1)) + 0.1 * rng.normal(size=(24, 4)) for _ in "ab")
        rejected += swap_test(a.mean(axis=1), b.mean(axis=1)) < 0.05
        naive += swap_test(a.ravel(), b.ravel()) < 0.05
    assert 0.025 <= rejected / WORLDS <= 0.08
    assert naive / WORLDS > 0.2


def test_the_test_of_a_ratio_keeps_its_level_and_finds_a_real_difference():
    rng = np.random.default_rng(8)

    def side(share):
        there = rng.binomial(4, 0.8, size=30)
        return np.column_stack([rng.binomial(there, share), there]) / 4

    null = np.mean([swap_test(side(0.6), side(0.6), ratio) < 0.05 for _ in range(WORLDS)])
    found = np.mean([swap_test(side(0.8), side(0.5), ratio) < 0.05 for _ in range(50)])
    assert 0.02 <= null <= 0.085
    assert found > 0.9


def test_the_exact_test_is_scipys():
    rng = np.random.default_rng(9)
    a, b = rng.normal(size=9) + 0.5, rng.normal(size=9)
    theirs = stats.permutation_test(
        (a, b), lambda x, y, axis: (x - y).mean(axis), permutation_type="samples", vectorized=True
    )
    assert swap_test(a, b) == pytest.approx(theirs.pvalue)


def test_swaps_are_exact_up_to_thirteen_prompts_and_seeded_beyond():
    assert EXACT_PROMPTS == 13 and swap_test(np.ones(13), np.zeros(13)) == 2 / 2**13
    a, b = np.random.default_rng(5).normal(size=(2, 30))
    first = swap_test(a, b)
    _signs.cache_clear()
    assert swap_test(a, b) == first


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_the_observed_swap_is_as_far_as_itself_however_large_the_numbers(scale):
    for seed in range(20):
        a, b = scale * np.random.default_rng(seed).random((2, 9))
        assert swap_test(a + scale, b) == 2 / 2**9


def test_small_numbers_by_hand():
    assert swap_test(np.ones(6), np.zeros(6)) == swap_test(np.ones(6, bool), np.zeros(6, bool)) == 2 / 2**6
    assert np.isnan(swap_test(np.ones(5), np.zeros(5)))
    assert swap_test(np.ones(8), np.ones(8)) == 1
    assert swap_test(np.ones(60), np.zeros(60)) == 1e-4  # of 9999 random swaps and the observed one
    few = bootstrap(np.array([0.0, 1, 0, 1, 1]))
    assert (few.kind, few.value) == ("none", 0.6) and np.isnan(few.low)
    alike = bootstrap(np.ones(20))
    assert (alike.kind, alike.value, alike.low, alike.high) == ("equal", 1, 1, 1)
    assert bootstrap(np.zeros((0, 1))).kind == "none"


def test_a_ratio_of_nothing_is_no_number():
    nothing = np.zeros((10, 2))
    assert bootstrap(nothing, ratio).kind == "none"
    assert np.isnan(swap_test(nothing, nothing, ratio))
    assert mean(np.array([3.0, 9.0])) == 3


def test_holm_by_hand_and_a_missing_p_is_no_member_of_the_family():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    adjusted = holm([0.01, np.nan, 0.04])
    np.testing.assert_allclose(adjusted[[0, 2]], [0.02, 0.04])
    assert np.isnan(adjusted[1])
    assert len(holm([])) == 0


def test_effect_sizes_by_hand():
    assert cohen_dz([1, 2, 3]) == pytest.approx(2.0)
    assert np.isnan(cohen_dz([1, 1, 1]))


def test_six_prompts_have_an_interval_and_five_have_none():
    six = bootstrap(np.arange(6))
    assert six.kind == "BCa" and six.low < six.value == 2.5 < six.high
    five = bootstrap(np.arange(5))
    assert (five.value, five.kind) == (2, "none") and np.isnan([five.low, five.high]).all()


def test_a_ratio_that_most_resamples_do_not_have_has_a_value_and_no_interval():
    """One prompt of twelve has something to count: a third of the resamples leave it out."""
    rows = np.zeros((12, 2))
    rows[3] = 1, 2
    found = bootstrap(rows, ratio)
    assert (found.value, found.kind) == (0.5, "none") and np.isnan([found.low, found.high]).all()


def test_a_ratio_that_all_prompts_share_cannot_vary():
    rows = np.column_stack([np.arange(1, 9), 2 * np.arange(1, 9)])
    assert bootstrap(rows, ratio) == Interval(0.5, 0.5, 0.5, "equal")


def test_the_effect_size_of_two_prompts_and_of_one():
    assert cohen_dz([1, 3]) == pytest.approx(2 / 2**0.5)
    assert np.isnan(cohen_dz([2])) and np.isnan(cohen_dz([2, 2]))
