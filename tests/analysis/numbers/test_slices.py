"""From judgements to components, by hand."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace
from scipy.stats import chi2

from analysis.data.frames import tidy
from analysis.numbers.effects import change, level, noises, unchanging, versus
from analysis.numbers.measures import BY_NAME, MEASURES, Measure
from analysis.numbers.slices import NO_JUDGE, slices
from analysis.numbers.tuning import by_metric, reported


def test_components_by_hand(record):
    five = record(before=("right", "swapped", "plain", "astray", "gone"), after=("right",) * 5)
    (one,) = slices(tidy([five]))
    row = one.rows.iloc[0]
    # `astray`: the attribute is there and the object is not. That is not "both there, not together".
    expected = {"fully": 0, "bound": 1 / 5, "objects": 3 / 5, "attributes": 3 / 5, "carried": 1 / 5, "swapped": 1 / 5}
    for component, value in expected.items():
        assert row[f"{component}/initial"] == pytest.approx(value)
        assert row[f"{component}/best"] == pytest.approx(float(component != "swapped"))
    assert row["score:clip/best"] == 3.0


def test_a_judge_that_contradicts_itself_does_not_push_binding_given_presence_above_one(record):
    odd = record(after=("right", "gone"))
    said = odd.judgements["oracle"]
    right, gone = said.best.judgements
    best = replace(said.best, judgements=(right, replace(gone, bound=True)))  # bound, yet not there
    (one,) = slices(tidy([replace(odd, judgements={"oracle": replace(said, best=best)})]))
    assert one.rows["carried/best"].iloc[0] <= one.rows["objects/best"].iloc[0]


def test_a_slice_a_judge_and_the_exact_ones_first(record):
    both = record(judges=(("blip_vqa", "blip"), ("oracle", "none")))
    unjudged = record("p2", judges=())
    found = slices(tidy([both, unjudged]))
    assert [(one.judge, len(one.rows)) for one in found] == [("oracle", 2), ("blip_vqa", 2)]
    assert found[0].rows["fully/best"].isna().sum() == 1
    assert found[1].marked("blip") == "blip_vqa†" and found[1].marked("clip") == "blip_vqa"
    assert found[1].marked("blip clip") == "blip_vqa†"
    (alone,) = slices(tidy([unjudged]))
    assert alone.judge == NO_JUDGE and alone.score_measures[0].name == "score:clip"


def test_a_prompt_counts_once_however_many_seeds_it_has(record):
    good, bad = ("right", "right"), ("gone", "gone")
    records = [record("p1", seed, after=good) for seed in range(3)] + [record("p2", 0, after=bad)]
    (one,) = slices(tidy(records))
    found = level(one.rows, BY_NAME["fully_bound"])
    assert (found.value, found.prompts, found.seeds, found.trials) == (0.5, 2, 3, 4)
    ratio = level(one.rows, BY_NAME["bound_given_present"])
    assert ratio.value == 1.0  # the prompt without objects has nothing that could be bound


def test_change_and_difference_by_hand(many):
    right, wrong, half = ("right", "right"), ("gone", "gone"), ("right", "swapped")
    results = many({"clip": [(wrong, right)] * 4 + [(right, wrong)] * 2, "blip": [(wrong, half)] * 6})
    (one,) = slices(results)
    clip, blip = one.select(metric="clip"), one.select(metric="blip")
    moved = change(clip, BY_NAME["fully_bound"])
    assert (moved.b, moved.a, moved.difference.value) == (
        pytest.approx(2 / 6),
        pytest.approx(4 / 6),
        pytest.approx(2 / 6),
    )
    assert (moved.win, moved.tie, moved.loss) == (4, 0, 2)
    assert moved.p == pytest.approx(chi2.sf((4 - 2) ** 2 / 6, 1))  # McNemar's
    assert (moved.differing, moved.over) == (6, "prompts")
    apart = versus(clip, blip, BY_NAME["swapped"])
    assert (apart.a, apart.b, apart.win, apart.loss) == (0, 0.5, 6, 0)  # less is better
    assert versus(clip, blip, BY_NAME["bound"]).win == 4


def test_only_pairs_that_exist_are_compared_and_the_others_are_counted(many):
    results = many({"clip": [(("gone",) * 2, ("right",) * 2)] * 8, "blip": [(("gone",) * 2, ("gone",) * 2)] * 6})
    (one,) = slices(results)
    effect = versus(one.select(metric="clip"), one.select(metric="blip"), BY_NAME["fully_bound"])
    assert (effect.pairs, effect.unpaired_a, effect.unpaired_b) == (6, 2, 0)
    turned = versus(one.select(metric="blip"), one.select(metric="clip"), BY_NAME["fully_bound"])
    assert (turned.pairs, turned.unpaired_a, turned.unpaired_b) == (6, 0, 2)


def test_a_trial_is_of_the_category_that_some_job_gave_it(record):
    results = tidy([record("p1"), record("p2")])
    asked = results.members.iloc[[0, 0, 1]].assign(category=["", "colours", ""])
    (one,) = slices(dataclasses.replace(results, members=asked))
    assert one.rows.set_index("prompt")["category"].to_dict() == {"p1": "colours", "p2": ""}


def test_the_settings_of_another_method_are_those_that_dev_prompts_chose_for_it(record):
    """Where ReNO did not run: best_of_n with 10 images is right on the dev prompts, and with 50 on none."""
    right, wrong = ("right",) * 2, ("gone",) * 2
    records = [
        record(f"{letter}{place}", method="best_of_n", iterations=count, after=after, prompts=prompts)
        for letter, prompts in (("d", "pairs_dev"), ("t", "pairs_test"))
        for place in range(6)
        for count, after in ((10, right), (50, wrong))
    ]
    found = slices(tidy(records))
    (test,) = (one for one in found if one.prompt_set == "pairs_test")
    assert set(by_metric(found, test)["clip"]["iterations"]) == {10}


def test_no_trials_give_no_numbers():
    columns = ["prompt", "seed", *MEASURES[0].columns("initial"), *MEASURES[0].columns("best")]
    nothing = pd.DataFrame({name: pd.Series(dtype=float) for name in columns})
    assert change(nothing, MEASURES[0]).pairs == 0
    assert level(nothing, MEASURES[0]).trials == 0


def own_noises(rng, spread, prompts=30, seeds=2):
    """Trials of prompts that share no seed, whose change is 0.3 in the mean over prompts and noises."""
    moved = 0.3 + 0.5 * rng.normal(size=(prompts, 1)) + spread * rng.normal(size=(prompts, seeds))
    prompt, seed = np.divmod(np.arange(prompts * seeds), seeds)
    before = rng.normal(size=prompts * seeds)
    return pd.DataFrame(
        {"prompt": prompt, "seed": 1000 + prompt * seeds + seed, "x/initial": before, "x/best": before + moved.ravel()}
    )


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.2, 2.0])
def test_where_each_prompt_has_noises_of_its_own_the_interval_over_prompts_covers_other_noises_too(spread):
    rng, worlds, covered = np.random.default_rng(14), 200, 0
    for _ in range(worlds):
        found = change(own_noises(rng, spread), Measure("x", "x", "x", share=False))
        assert found.over == "prompts"
        covered += found.difference.low <= 0.3 <= found.difference.high
    assert 0.9 <= covered / worlds <= 0.985


def test_noises_are_a_prompts_own_only_if_no_two_prompts_share_one():
    rows = pd.DataFrame({"prompt": ["p", "p", "q", "q"], "seed": [1, 2, 3, 4]})
    assert noises(rows).own and noises(pd.concat([rows, rows])).own  # two metrics on the same noises
    assert (noises(rows).times, noises(rows).in_words) == ("2 × 2 own", "2 prompts with 2 noises of their own each")
    assert noises(rows[:3]).times == "2 × 1–2 own"
    mixed = noises(rows.assign(seed=[1, 2, 3, 1]))
    assert not mixed.own and mixed.times == "2 × 3" and mixed.in_words == "2 prompts, 3 seeds"
    one = noises(rows[:2])
    assert not one.own and one.in_words == "1 prompt, 2 seeds"  # no other prompt that could share them
    assert noises(rows[:0]).prompts == 0


def test_configurations_come_by_method_metric_iterations_rate_and_name(record):
    many = [
        ("best_of_n", "clip", 0.01, 50), ("reno", "clip", 0.05, 50), ("reno", "blip", 0.01, 50),
        ("none", "clip", 0.01, 0), ("reno", "clip", 0.01, 200), ("reno", "clip", 0.01, 50),
    ]  # fmt: skip
    records = [record("p", method=how, metric=metric, lr=lr, iterations=n) for how, metric, lr, n in many]
    (one,) = slices(tidy(records))
    found = list(one.configurations(one.rows))
    assert [(method, metric, settings) for method, metric, settings, _ in found] == [
        ("reno", "clip", "50 it., lr 0.01"),
        ("reno", "clip", "50 it., lr 0.05"),
        ("reno", "clip", "200 it., lr 0.01"),
        ("reno", "blip", "50 it., lr 0.01"),
        ("best_of_n", "clip", "50 it."),
        ("none", "clip", ""),
    ]
    assert [len(rows) for *_, rows in found] == [1] * 6
    for method, metric, settings, rows in found:
        assert rows[["method", "metric", "settings"]].iloc[0].tolist() == [method, metric, settings]
    assert one.methods_of(one.rows) == ["reno", "best_of_n", "none"] and one.metrics_of(one.rows) == ["clip", "blip"]


def test_trials_that_nobody_judged_are_marked_so(record):
    (one,) = slices(tidy([record(judges=())]))
    assert one.marked("clip") == "–"


def test_of_an_effect_that_cannot_vary_no_interval_has_a_width_and_nothing_is_tested(many):
    (one,) = slices(many({"clip": [(("swapped",), ("right",)), *[(("right",), ("right",))] * 7]}))
    effect = change(one.rows, BY_NAME["fully_bound"])
    same = unchanging(effect)
    value = effect.difference.value
    for interval in (same.difference, same.narrow, same.estimate.interval(0.95)):
        assert (interval.value, interval.low, interval.high, interval.kind) == (value, value, value, "equal")
    assert np.isnan(same.p) and same.pairs == effect.pairs


def test_dev_prompts_are_reported_only_where_there_are_no_others():
    dev, test = SimpleNamespace(prompt_set="mine/pairs_dev"), SimpleNamespace(prompt_set="pairs")
    assert reported((dev, test)) == [test] and reported((dev, dev)) == [dev, dev] and reported(()) == []
