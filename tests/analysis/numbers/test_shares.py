"""Wilson's and Tango's intervals against published values, against hands, and against root finders written here."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from analysis.numbers.design import Design
from analysis.numbers.shares import Share, ShareDifference, share, share_difference

Z = 1.959963984540054


def alone(count):
    """One trial a prompt, each with a noise of its own."""
    return Design(np.arange(count), np.arange(count))


def pairs(plus, minus, count):
    """Of so many prompts the differences: `plus` have a alone, `minus` b alone."""
    return np.repeat([1.0, -1.0, 0.0], [plus, minus, count - plus - minus])


@pytest.mark.parametrize(
    ("plus", "minus", "count", "low", "high"),
    [
        (1, 7, 21, -0.517, -0.026),  # airway responsiveness, Bentur 2009, in Fagerland, Lydersen and Laake 2014
        (6, 16, 161, -0.1240, -0.0054),  # complete response, Cavo 2012, in the R package contingencytables
    ],
)
def test_tangos_interval_is_the_published_one(plus, minus, count, low, high):
    found = share_difference(pairs(plus, minus, count), alone(count)).interval(0.95)
    digits = 3 if count == 21 else 4
    assert [round(float(end), digits) for end in found] == [low, high]


def likelihood_statistic(plus, minus, count, at):
    """Tango's statistic by maximising the multinomial likelihood numerically: the shares of a alone and b alone, whose
    difference is `at`."""

    def deviance(b_alone):
        a_alone = b_alone + at
        rest = 1 - a_alone - b_alone
        return -(plus * np.log(a_alone) + minus * np.log(b_alone) + (count - plus - minus) * np.log(rest))

    bounds = max(0.0, -at), (1 - at) / 2
    b_alone = optimize.minimize_scalar(deviance, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
    return (plus - minus - count * at) / np.sqrt(count * (2 * b_alone + at - at**2))


@pytest.mark.parametrize(("plus", "minus", "count"), [(6, 16, 161), (1, 7, 21), (3, 2, 12), (9, 4, 40)])
@pytest.mark.parametrize("level", [0.95, 0.9])
def test_tangos_interval_ends_where_the_likelihood_says(plus, minus, count, level):
    reach = stats.norm.ppf((1 + level) / 2)
    middle = (plus - minus) / count
    found = share_difference(pairs(plus, minus, count), alone(count)).interval(level)
    for end, wanted, bounds in zip(found, (reach, -reach), ((-0.99, middle), (middle, 0.99)), strict=True):
        root = optimize.brentq(lambda at, w=wanted: likelihood_statistic(plus, minus, count, at) - w, *bounds)
        assert end == pytest.approx(root, abs=1e-5)


def test_without_a_difference_the_interval_still_has_a_width():
    """By hand: n d / sqrt(n d (1 - d)) = z gives d = z^2 / (n + z^2)."""
    for count, level, reach in ((12, 0.95, Z), (72, 0.95, Z), (52, 0.9, 1.6448536)):
        low, high = share_difference(np.zeros(count), alone(count)).interval(level)
        assert high == -low == pytest.approx(reach**2 / (count + reach**2), abs=1e-8)
    ends = [share_difference(np.zeros(count), alone(count)).interval(0.95)[1] for count in (12, 72, 73)]
    assert round(ends[0], 2) == 0.24 and ends[1] > 0.05 > ends[2] > 0
    whole = share_difference(np.ones(12), alone(12))
    assert whole.value == 1 and whole.interval(0.95)[1] == pytest.approx(1) and whole.interval(0.95)[0] < 0.6


def test_the_test_is_mcnemars_and_agrees_with_the_interval():
    for plus in range(13):
        for minus in range(13 - plus):
            found = share_difference(pairs(plus, minus, 12), alone(12))
            mcnemar = stats.chi2.sf((plus - minus) ** 2 / (plus + minus), 1) if plus != minus else 1
            assert found.p() == pytest.approx(mcnemar)
            low, high = found.interval(0.95)
            assert (found.p() < 0.05) == bool(low > 0 or high < 0)
            for at in (-0.2, 0.1):
                assert (found.p(at) < 0.05) == bool(low > at or high < at)


def test_wilsons_interval_by_its_definition_and_by_scipy():
    for right, count in ((0, 12), (3, 12), (12, 12), (40, 50)):
        found = share(np.repeat([1.0, 0.0], [right, count - right]), alone(count))
        theirs = stats.binomtest(right, count).proportion_ci(method="wilson")
        assert found.interval(0.95) == (pytest.approx(theirs.low, abs=1e-9), pytest.approx(theirs.high, abs=1e-9))
    score = abs(40 / 50 - 0.9) / np.sqrt(0.9 * 0.1 / 50)
    assert found.p(0.9) == pytest.approx(2 * stats.norm.sf(score))


def test_trials_of_one_prompt_that_all_agree_count_as_one_prompt():
    """Twelve prompts, each said four times: the same counts as once each, and t with 11 degrees of freedom."""
    moved = pairs(5, 1, 12)
    four = share_difference(np.repeat(moved, 4), Design(np.repeat(np.arange(12), 4), np.arange(48)))
    assert (float(four.count), four.freedom) == (pytest.approx(12), 11)
    once = share_difference(moved, alone(12))
    assert float(once.count) == pytest.approx(12) and np.isinf(once.freedom)
    assert four.interval(0.95) == pytest.approx(ShareDifference(once.plus, once.minus, 12.0, 11.0).interval(0.95))


def test_trials_of_one_prompt_that_do_not_agree_count_nearly_as_so_many_prompts():
    rng = np.random.default_rng(1)
    moved = rng.choice([1.0, -1.0, 0.0], size=4000, p=[0.3, 0.2, 0.5])
    found = share_difference(moved, Design(np.repeat(np.arange(1000), 4), np.arange(4000)))
    assert found.count == pytest.approx(4000, rel=0.1)


def test_shares_of_bindings_count_by_their_variance():
    """Half a difference in every prompt, half of them up: a quarter of the variance of whole ones, so twice the prompts
    that differ by a whole one half as often."""
    moved = np.repeat([0.5, -0.5], 20)
    found = share_difference(moved, alone(40))
    assert (found.plus, found.minus, found.count, found.freedom) == (0.25, 0.25, pytest.approx(80), 39)


def test_many_data_sets_at_once_are_as_each_by_itself():
    rng = np.random.default_rng(2)
    design = Design(np.repeat(np.arange(10), 3), np.tile(np.arange(3), 10))
    moved = rng.choice([1.0, -1.0, 0.0], size=(5, 30))
    together = np.transpose(share_difference(moved, design).interval(0.95))
    assert together == pytest.approx(np.array([share_difference(one, design).interval(0.95) for one in moved]))


def test_a_share_never_leaves_its_range():
    found = Share(np.array(0.0), np.array(3.0), np.array(2.0)).interval(0.95)
    assert found[0] == 0 and 0 < found[1] < 1
