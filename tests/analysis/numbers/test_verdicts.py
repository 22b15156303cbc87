"""Verdicts, how many more prompts would decide, and the smallest difference that can be found, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.numbers.statistics import Interval
from analysis.numbers.verdicts import BETTER, EQUIVALENT, UNDECIDED, WORSE, Planning, Verdict, verdict

FIND = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)


def plan(difference=0.1, prompts=100, differing=40, spread=0.5, fixed=0.0, limited_by="", share=True, freedom=99.0):
    return Planning(difference, prompts, 1.0, differing, spread, fixed, freedom, limited_by, share)


def decided(low, high, narrow=None, p=0.01, better=1, few_noises=0, margin=0.05, **planned):
    wide = Interval((low + high) / 2, low, high, "score")
    near = wide if narrow is None else Interval(wide.value, *narrow, "score")
    return verdict(wide, near, p, margin, better, few_noises, plan(difference=wide.value, **planned))


def test_better_worse_and_what_speaks_against_it():
    assert decided(0.02, 0.2) == Verdict(BETTER) and decided(-0.2, -0.02) == Verdict(WORSE)
    assert decided(0.02, 0.2, better=-1) == Verdict(WORSE)  # less is better
    assert decided(0.02, 0.2, p=0.06).word == UNDECIDED
    assert decided(0.02, 0.2, differing=6) == Verdict(BETTER)
    few = decided(0.02, 0.2, differing=5)
    assert few.word == UNDECIDED and few.why.startswith("only 5 prompts differ; about ")
    assert decided(0.02, 0.2, prompts=5).why == "5 prompts; at least 6 are needed"
    assert decided(0.02, 0.2, prompts=1).why == "1 prompt; at least 6 are needed"
    assert decided(0.02, 0.2, few_noises=2).why.startswith("with 2 noises that all prompts share nothing can be said")


def test_equivalent_is_within_the_margin_on_both_sides():
    assert decided(-0.06, 0.05, (-0.049, 0.049), p=0.8) == Verdict(EQUIVALENT)
    assert decided(-0.06, 0.05, (-0.051, 0.03), p=0.8).word == UNDECIDED
    assert decided(-0.06, 0.05, (-0.051, 0.03), p=0.8, margin=0.06) == Verdict(EQUIVALENT)
    assert decided(0.01, 0.04, p=0.01) == Verdict(BETTER)  # better, though by less than the margin
    assert decided(-0.06, 0.05, (-0.049, 0.049), p=0.8, share=False).word == UNDECIDED  # a score has no margin


def test_how_many_prompts_would_find_a_difference():
    assert plan().needed(0.05) == pytest.approx(0.5 * (FIND / 0.1) ** 2)  # 392
    assert plan(fixed=0.0005).needed(0.05) == pytest.approx(0.5 / ((0.1 / FIND) ** 2 - 0.0005))
    assert plan(spread=0.05, differing=2).needed(0.05) == 300  # six prompts have to differ
    assert np.isinf(plan(fixed=0.01, limited_by="noises", freedom=2.0).needed(0.05))
    assert plan(limited_by="bindings", freedom=19.0).needed(0.05) == pytest.approx(
        0.5 * ((stats.t.ppf(0.975, 19) + stats.norm.ppf(0.8)) / 0.1) ** 2
    )


def test_how_many_prompts_would_show_that_there_is_no_difference():
    """Two one-sided tests at 5%, both succeed in 8 of 10 studies: the margin is 1.645 + 1.282 standard errors."""
    both = stats.norm.ppf(0.95) + stats.norm.ppf(0.9)
    assert plan(difference=0.0).needed(0.05) == pytest.approx(0.5 * (both / 0.05) ** 2, rel=1e-6)
    assert plan(difference=0.0, spread=0.0, differing=0).needed(0.05) == pytest.approx(stats.norm.ppf(0.95) ** 2 * 19)
    one_sided = stats.norm.ppf(0.95) + stats.norm.ppf(0.8)  # near the margin only that side matters
    assert plan(difference=0.04).needed(0.05) == pytest.approx(0.5 * (one_sided / 0.01) ** 2, rel=1e-3) or (
        plan(difference=0.04).needed(0.05) == pytest.approx(0.5 * (FIND / 0.04) ** 2)
    )


def test_such_a_study_finds_the_difference_as_often_as_it_says():
    """Of a difference of 0.1, where half of the prompts differ: the number of prompts that is asked for gives 80%."""
    spread = 0.5 - 0.1**2
    needed = int(np.ceil(plan(spread=spread).needed(0.05)))
    rng = np.random.default_rng(7)
    counts = rng.multinomial(needed, [0.3, 0.2, 0.5], size=4000)
    ahead, behind = counts[:, 0], counts[:, 1]
    found = (ahead - behind) / np.sqrt(ahead + behind) > stats.norm.ppf(0.975)
    assert found.mean() == pytest.approx(0.8, abs=0.02)


def test_the_words_for_how_many():
    def why(**planned):
        return decided(-0.1, 0.3, p=0.3, **planned).why

    assert why(spread=0.127) == "about 1 more prompt would decide"  # 99.7 are asked for, and there are 100
    assert why(spread=0.2) == "about 57 more prompts would decide"  # 157.0
    assert why(spread=5.0) == "about 3900 more prompts would decide"  # 3924.4, less 100, in two digits
    assert why(spread=100.0) == "more than 10,000 more prompts would be needed"
    assert why(fixed=0.1, limited_by="noises", freedom=2.0) == "more noises, not more prompts, would decide"
    assert why(fixed=0.1, limited_by="noises and bindings").startswith("more noises and bindings, not more prompts")
    assert decided(-0.1, 0.3, p=0.3, spread=5.0).short == "undecided (+3,900)"
    assert decided(-0.1, 0.3, p=0.3, spread=100.0).short == "undecided"
    assert decided(0.1, 0.3).short == decided(0.1, 0.3).text == "better"
    assert decided(-0.1, 0.3, p=0.3, spread=5.0).text == "undecided: about 3900 more prompts would decide"


def test_the_smallest_difference_that_can_be_found():
    assert plan().detectable == pytest.approx((stats.t.ppf(0.975, 99) + stats.norm.ppf(0.8)) * np.sqrt(0.5 / 100))
    assert plan(fixed=0.01).detectable > plan().detectable
    assert plan(spread=0.0, prompts=12, differing=0).detectable == 0.5  # six of twelve have to differ
    assert plan(spread=0.0, prompts=12, share=False).detectable == 0
    assert np.isnan(plan(prompts=5).detectable)


def test_six_prompts_are_enough_for_a_verdict():
    assert decided(0.02, 0.2, prompts=6, differing=6) == Verdict(BETTER)


def test_where_every_prompt_has_the_same_value_nothing_is_decided():
    same = Interval(0.2, 0.2, 0.2, "equal")
    found = verdict(same, same, 0.001, 0.05, 1, 0, plan(difference=0.2))
    assert found == Verdict(UNDECIDED, "every prompt has the same value")


def test_more_prompts_are_advised_wherever_they_would_decide():
    limited = decided(-0.05, 0.15, p=0.3, prompts=100, limited_by="bindings", fixed=0.0001, freedom=19.0)
    assert limited.why.startswith("about ") and np.isfinite(limited.more)
    never = decided(-0.05, 0.15, p=0.3, limited_by="bindings", fixed=0.01, freedom=19.0)
    assert never.why == "more bindings, not more prompts, would decide" and np.isinf(never.more)
