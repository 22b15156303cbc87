"""The variance of a mean against the analysis of variance by hand, and on data whose variance is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.numbers.design import Design
from analysis.numbers.estimates import (
    Linear,
    Resampled,
    Scored,
    Unknown,
    difference_estimate,
    level_estimate,
    linearised,
)
from analysis.numbers.statistics import difference, mean, ratio, swap_test

WORLDS = 400


def crossed(prompts, noises):
    """Every prompt on each noise."""
    return Design(np.repeat(np.arange(prompts), noises), np.tile(np.arange(noises), prompts))


def test_over_prompts_and_noises_is_two_way_random_effects_by_hand():
    cells = np.random.default_rng(13).normal(size=(8, 4)) + np.array([0, 1, -2, 1.5])
    found = crossed(8, 4).variance(cells.ravel())
    of_prompt = 4 * cells.mean(axis=1).var(ddof=1)
    of_noise = 8 * cells.mean(axis=0).var(ddof=1)
    rest = ((cells - cells.mean(axis=1, keepdims=True) - cells.mean(axis=0) + cells.mean()) ** 2).sum() / 21
    assert found.added == pytest.approx((of_noise - rest) / 32) and found.added > 0
    assert found.unbiased == pytest.approx((of_prompt + of_noise - rest) / 32)
    freedom = (of_prompt + of_noise - rest) ** 2 / (of_prompt**2 / 7 + of_noise**2 / 3 + rest**2 / 21)
    assert found.freedom == pytest.approx(np.clip(freedom, 3, 7))


def test_noises_that_move_nothing_add_nothing_and_take_no_degrees_of_freedom():
    cells = np.random.default_rng(3).normal(size=(20, 1)) + np.zeros((20, 5))
    found = crossed(20, 5).variance(cells.ravel())
    assert found.added == 0 and found.freedom == 19
    with np.errstate(all="raise"):  # nor is anything warned of where nothing differs at all
        same = crossed(20, 5).variance(np.ones(100))
    assert (same.unbiased, same.added, same.freedom) == (0, 0, 19)
    assert found.prompts == pytest.approx(cells[:, 0].var() / 20)


def by_pairs(prompt, noise, values):
    """What noises add, and the degrees of freedom, from the products of every two cells of different prompts."""
    codes, places = np.unique(np.column_stack([prompt, noise]), axis=0, return_inverse=True)
    places, prompts = places.ravel(), prompt.max() + 1
    weight = np.array([1 / (prompts * (prompt == one).sum()) for one in prompt])
    center = sum(values[prompt == one].mean() for one in range(prompts)) / prompts
    w = np.array([weight[places == cell].sum() for cell in range(len(codes))])
    r = np.array([(weight * (values - center))[places == cell].sum() for cell in range(len(codes))])
    same_prompt, same_noise = (codes[:, k, None] == codes[:, k] for k in (0, 1))
    sharing, apart = same_noise & ~same_prompt, ~same_noise & ~same_prompt
    covariance, other = (np.outer(r, r)[pairs].sum() / np.outer(w, w)[pairs].sum() for pairs in (sharing, apart))
    covariance -= other
    spread = sum(w[codes[:, 1] == one].sum() ** 2 for one in range(noise.max() + 1))
    added = max(0.0, covariance) * spread
    own = sum(r[codes[:, 0] == one].sum() ** 2 for one in range(prompts))
    unbiased, degrees, fewer = own * prompts / (prompts - 1), prompts - 1, max(1.0, 1 / spread - 1)
    rest = own
    if len(codes) > prompts:
        within = 0.0
        for one in range(prompts):
            cells = codes[:, 0] == one
            within += ((r[cells] / w[cells] - r[cells].sum() / w[cells].sum()) ** 2).sum()
        rest = max(0.0, within / (len(codes) - prompts) - covariance) * (w**2).sum()
    squares = unbiased**2 / degrees
    if added:
        squares += (added + rest) ** 2 / fewer + rest**2 / (degrees * fewer)
    return added, unbiased + added, (unbiased + added) ** 2 / squares, (min(fewer, degrees), degrees)


PROMPT, NOISE = np.divmod(np.arange(40), 4)
MISSING = np.delete(np.arange(40), [1, 5, 6, 7, 23, 30, 38])
LAYOUTS = {
    "every prompt on each noise": (PROMPT, NOISE),
    "some cells missing": (PROMPT[MISSING], NOISE[MISSING]),
    "two trials in some cells": (np.append(PROMPT, PROMPT[:14]), np.append(NOISE, NOISE[:14])),
    "one noise a prompt": (np.arange(20), np.arange(20) % 4),
    "one noise nearly everywhere": (np.arange(20), np.array([0] * 17 + [1, 2, 2])),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_over_prompts_and_noises_of_any_layout_is_the_products_of_pairs(layout):
    """In outcomes of several kinds the degrees of freedom are those of the formula, and where they would be more than
    the prompts' or fewer than the noises', these. Small outcomes are like large ones."""
    prompt, noise = LAYOUTS[layout]
    design, rng = Design(prompt, noise), np.random.default_rng(0)
    seen = set()
    for of_prompt, of_noise, of_trial in [(1, 0.6, 1), (1, 0.3, 0), (0.2, 2, 0.2), (0.3, 1, 0.3), (1, 0, 1)] * 3:
        values = (of_prompt * rng.normal(size=20))[prompt] + (of_noise * rng.normal(size=4))[noise]
        values = values + of_trial * rng.normal(size=len(prompt))
        found = design.variance(values)
        added, unbiased, freedom, bounds = by_pairs(prompt, noise, values)
        assert found.added == pytest.approx(added) and found.unbiased == pytest.approx(unbiased)
        assert found.freedom == pytest.approx(np.clip(freedom, *bounds))
        small = design.variance(1e-6 * values)
        assert small.added == pytest.approx(1e-12 * added, abs=1e-24)
        assert small.freedom == pytest.approx(found.freedom)
        seen.add("none added" if not added else "inside" if bounds[0] < freedom < bounds[1] else "outside")
    assert {"none added", "inside"} <= seen


def test_noises_of_each_prompts_own_and_one_or_two_shared_ones_are_not_counted():
    own = Design(np.repeat(np.arange(6), 2), np.arange(12))
    assert (own.own_noises, own.counts_noises, own.few_noises, own.over) == (True, False, False, "prompts")
    two = crossed(6, 2)
    assert (two.own_noises, two.counts_noises, two.few_noises, two.over) == (False, False, True, "prompts")
    assert crossed(6, 3).over == "prompts and noises" and not crossed(6, 3).few_noises
    assert not crossed(1, 2).few_noises  # no other prompt shares them


def test_every_prompt_counts_the_same_and_so_does_every_group():
    design = Design(np.array([0, 0, 0, 1, 2]), np.arange(5), group=np.array([0, 0, 0, 0, 1]))
    assert design.mean(np.array([1.0, 1, 1, 0, 0.5])) == 0.5
    assert design.weights.tolist() == pytest.approx([1 / 12, 1 / 12, 1 / 12, 1 / 4, 1 / 2])


@pytest.mark.parametrize(("noises", "spread"), [(3, 1.0), (4, 0.5), (8, 0.5)])
def test_over_prompts_alone_undercovers_where_noises_are_shared_and_over_both_does_not(noises, spread):
    rng = np.random.default_rng(11)
    worlds = 5 * WORLDS  # a rate known to half a percent
    prompt, noise = rng.normal(size=(worlds, 40, 1)), spread * rng.normal(size=(worlds, 1, noises))
    cells = 0.5 * prompt + noise + rng.normal(size=(worlds, 40, noises))
    values = cells.reshape(worlds, -1)
    both = crossed(40, noises).variance(values)
    reach = stats.t.ppf(0.975, both.freedom) * np.sqrt(both.unbiased)
    assert 0.925 <= (np.abs(values.mean(axis=1)) <= reach).mean() <= 0.97
    alone = Design(np.repeat(np.arange(40), noises), np.arange(40 * noises)).variance(values)
    assert (np.abs(values.mean(axis=1)) <= 1.96 * np.sqrt(alone.unbiased)).mean() < 0.85


def layout(rng, prompts=60, bindings=15):
    """Of each prompt, two of the bindings."""
    return [tuple(rng.choice(bindings, 2, replace=False).tolist()) for _ in range(prompts)]


def test_what_bindings_add_is_the_slope_of_the_products_on_how_many_are_shared():
    rng = np.random.default_rng(4)
    asked = layout(rng)
    values = np.array([rng.normal() + sum(np.sin(9 * name) for name in own) for own in asked])
    found = Design(np.arange(60), np.arange(60), asked).variance(values)
    residuals = values - values.mean()
    shared, products = [], []
    for one in range(60):
        for other in range(60):
            if one != other:
                shared.append(len({*asked[one]} & {*asked[other]}))
                products.append(residuals[one] * residuals[other])
    slope = np.polyfit(shared, products, 1)[0]
    assert found.added == pytest.approx(slope * np.mean(shared)) and found.added > 0
    assert found.freedom == 14  # of 15 bindings
    small = Design(np.arange(60), np.arange(60), asked).variance(1e-6 * values)
    assert small.added == pytest.approx(1e-12 * found.added, rel=1e-6, abs=0)


def test_the_variance_over_bindings_is_that_of_the_mean_over_many_worlds():
    rng = np.random.default_rng(5)
    asked = layout(rng)
    uses = np.array([[float(name in own) for own in asked] for name in range(15)])
    values = 0.7 * rng.normal(size=(4000, 15)) @ uses + rng.normal(size=(4000, 60))
    found = Design(np.arange(60), np.arange(60), asked).variance(values)
    truth = values.mean(axis=1).var()
    assert found.unbiased.mean() == pytest.approx(truth, rel=0.08)
    assert (found.unbiased - found.added).mean() < 0.45 * truth


def test_bindings_that_do_not_recur_or_recur_in_every_prompt_are_not_counted():
    places = np.arange(8)
    assert Design(places, places, [(k, k + 100) for k in range(8)]).over == "prompts"
    assert Design(places, places, [("red car", "blue cup")] * 8).over == "prompts"
    assert Design(places, places, [()] * 8).over == "prompts"
    assert Design(places, places, [(k, (k + 1) % 8) for k in range(8)]).over == "prompts and bindings"


def test_a_design_is_read_from_rows():
    rows = pd.DataFrame(
        {"prompt": ["b", "a", "b", "a"], "seed": [0, 0, 7, 7], "asked": [("x",), ("y",), ("x",), ("y",)]}
    )
    design = Design.of(rows)
    assert (design.prompts, design.noises, design.trials, design.few_noises) == (2, 2, 4, True)
    assert design.by_prompt(np.array([1.0, 2, 3, 4])).tolist() == [3.0, 2.0]  # in the order of the prompts: a, b
    assert Design.of(rows[:0]).prompts == 0


def test_a_difference_of_ratios_is_linearised_where_noises_are_shared_and_covers_the_truth():
    """Bound given present, whose log-odds a noise moves in both sides' images, and in one of them besides."""
    rng = np.random.default_rng(12)
    truth, covered = None, 0
    for world in range(WORLDS + 1):
        noises = 20_000 if world == 0 else 4  # the first is the truth
        there = rng.binomial(2, rng.beta(4, 2, size=(40, 1)), size=(40, noises)) / 2
        common, own = 0.5 * rng.normal(size=noises), 0.5 * rng.normal(size=noises)
        sides = []
        for shift in (0.8 + common + own, common):
            odds = 1 / (1 + np.exp(-shift - 0.5 * rng.normal(size=(40, 1))))
            sides += [there * (rng.random(there.shape) < odds), there]
        rows = np.stack(sides, axis=-1)
        if truth is None:
            truth = float(difference(ratio, 2)(rows.mean(axis=(0, 1))))
            continue
        found = difference_estimate(rows.reshape(-1, 4), ratio, crossed(40, 4), is_share=True)
        assert isinstance(found, Linear)
        interval = found.interval(0.95)
        assert (interval.value, interval.kind) == (found.value, "t")
        covered += interval.low <= truth <= interval.high
        assert (found.p(0.0) < 0.05) == interval.excludes_zero
    assert 0.92 <= covered / WORLDS <= 0.985


def test_each_quantity_gets_the_interval_that_fits_it():
    rng = np.random.default_rng(6)
    own, shared = Design(np.arange(20), np.arange(20)), crossed(5, 4)
    right = rng.integers(0, 2, (20, 2)).astype(float)
    scores = right + rng.random((20, 2))
    kinds = [
        difference_estimate(right, mean, own, is_share=True),
        difference_estimate(scores, mean, own, is_share=False),
        difference_estimate(right, mean, shared, is_share=True),
        difference_estimate(np.ones((20, 2)), mean, own, is_share=False),
        level_estimate(right[:, :1], mean, own, is_share=True),
    ]
    assert [type(one) for one in kinds] == [Scored, Resampled, Unknown, Unknown, Scored]  # five prompts are too few
    assert [one.interval(0.95).kind for one in kinds] == ["score", "BCa", "none", "equal", "score"]
    assert kinds[1].p(0.0) == swap_test(scores[:, :1], scores[:, 1:])
    assert kinds[1].p(0.4) == linearised(scores, difference(mean, 1), own).p(0.4)
    half, most = kinds[1].interval(0.5), kinds[1].interval(0.95)
    assert most.low < half.low < half.high < most.high
    there = np.column_stack([right[:, 0] * right[:, 1], right[:, 1], right[:, 0], np.ones(20)])
    of_ratios = difference_estimate(there, ratio, own, is_share=True)
    assert isinstance(of_ratios, Resampled) and of_ratios.p(0.0) == swap_test(there[:, :2], there[:, 2:], ratio)
    assert kinds[1].p(0.4) == pytest.approx(stats.ttest_1samp(scores[:, 0] - scores[:, 1], 0.4).pvalue)


def test_six_prompts_are_enough_for_an_interval_and_five_are_not():
    for count, kind in ((6, Scored), (5, Unknown)):
        own = Design(np.arange(count), np.arange(count))
        share = np.arange(count).reshape(-1, 1) % 2.0
        assert type(level_estimate(share, mean, own, is_share=True)) is kind
        # of a ratio that no prompt moves, those count that have one: here `count` of ten
        ten, there = Design(np.arange(10), np.arange(10)), np.repeat([1.0, 0.0], [count, 10 - count])
        assert type(level_estimate(np.column_stack([there] * 2), ratio, ten, is_share=True)) is kind


def test_a_ratio_that_is_the_same_for_every_prompt_still_has_a_width():
    """Of ten prompts eight show an object, and each of these binds it, on both sides."""
    there = np.repeat([1.0, 0.0], [8, 2])
    both = np.column_stack([there] * 4)
    own = Design(np.arange(10), np.arange(10))
    found = difference_estimate(both, ratio, own, is_share=True).interval(0.95)
    assert (found.value, found.kind) == (0, "score")
    assert found.high == pytest.approx(1.959964**2 / (8 + 1.959964**2), abs=1e-6)
    level = level_estimate(both[:, :2], ratio, own, is_share=True).interval(0.95)
    assert (level.value, level.low, level.high) == (1, pytest.approx(8 / (8 + 1.959964**2), abs=1e-6), 1)
