"""What the report opens with: cases chosen by rule, a sentence and a table that agree with the claims' trials."""

from __future__ import annotations

import random

import pytest

from analysis.claims import claims
from analysis.data.frames import tidy
from analysis.numbers.slices import slices
from analysis.report.exhibits import changes_of, exhibits
from analysis.report.opening import opening, pooled
from analysis.report.strips import strip_of
from analysis.report.unasked import OF_PHOTOGRAPHS, OF_THE_TESTBED, unasked
from analysis.report.words import explained, of_prompts
from reno.config.conf import Conf
from reno.spec.trial import noise_name, own_seed
from tests.analysis.conftest import GONE, RIGHT, SWAPPED, make_record

CASES = {
    "gains all": ((GONE, GONE), (RIGHT, RIGHT)),
    "gains one": ((GONE, GONE), (RIGHT, SWAPPED)),
    "keeps one": ((RIGHT, GONE), (RIGHT, GONE)),
    "loses one": ((RIGHT, RIGHT), (RIGHT, GONE)),
    "loses all": ((RIGHT, RIGHT), (GONE, GONE)),
}


def opened(records):
    results = tidy(records)
    cut = slices(results)
    shown = exhibits(cut)
    return opening(results, cut, claims(cut), shown, changes_of(results, shown))


def records_of(cases, **settings):
    return [
        make_record(prompt, metric=metric, before=before, after=after, **settings)
        for prompt, (before, after) in cases.items()
        for metric in ("clip", "blip")
    ]


@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_cases_are_the_largest_the_middle_and_the_smallest_gain_in_bindings(order):
    records = records_of(CASES)
    random.Random(order).shuffle(records)
    first = opened(records)
    assert [(one.title, one.exhibit.prompt, one.gained) for one in first.cases] == [
        ("Clearest", "gains all", 4), ("Typical", "keeps one", 0), ("Worst", "loses all", -4),
    ]  # fmt: skip
    assert (
        "the 5 cases that have every metric (a prompt and a seed each) are ordered by the bindings gained" in first.rule
    )


def test_equal_cases_are_ordered_by_the_gain_in_score():
    gains = {"a": 1.0, "b": 3.0, "c": 2.0}
    records = [
        make_record(
            prompt, metric=metric, scores={"initial": {metric: start}, "best": {metric: start + gain}, "last": {}}
        )
        for prompt, gain in gains.items()
        for metric, start in (("clip", ord(prompt)), ("blip", -ord(prompt)))
    ]
    assert [one.exhibit.prompt for one in opened(records).cases] == ["b", "c", "a"]


def test_one_case_has_no_rank_and_two_are_the_clearest_and_the_worst():
    two = dict(list(CASES.items())[::4])
    assert [one.title for one in opened(records_of(two)).cases] == ["Clearest", "Worst"]
    first = opened(records_of({"gains all": CASES["gains all"]}))
    assert [one.title for one in first.cases] == [""] and first.rule == ""


def test_the_last_case_is_not_called_the_worst_where_nothing_is_wrong_after():
    cases = {"gains all": CASES["gains all"], "gains one": ((RIGHT, GONE), (RIGHT, RIGHT))}
    first = opened(records_of(cases))
    assert [one.title for one in first.cases] == ["Clearest", "Smallest gain"]
    assert first.rule.endswith("the typical one the middle, the smallest gain the last.")


def test_the_wrong_bindings_are_named_below_a_picture():
    results = tidy(records_of(CASES))
    cut = slices(results)
    shown = exhibits(cut)
    judged = changes_of(results, shown)
    cases = opening(results, cut, claims(cut), shown, judged).cases
    wrong = {case.title: [picture.wrong for picture in strip_of(results, case, judged).pictures] for case in cases}
    assert wrong == {
        "Clearest": ["wrong: color0 thing0, color1 thing1", "", ""],
        "Typical": ["wrong: color1 thing1"] * 3,
        "Worst": ["", "wrong: color0 thing0, color1 thing1", "wrong: color0 thing0, color1 thing1"],
    }


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["50 it., lr 0.01"], "50 it., lr 0.01"),
        (["50 it., lr 0.01", "50 it., lr 0.05"], "50 it., lr 0.01 and lr 0.05 together"),
        (["50 it.", "50 it., lr 0.05"], "50 it., default and lr 0.05 together"),
        ([f"lr {k}" for k in range(4)], "4 settings together"),
    ],
)
def test_settings_that_are_pooled_are_named(names, said):
    assert pooled(names) == said


def test_a_noise_of_the_prompts_own_is_called_by_the_seed_that_was_typed():
    assert noise_name("a red car", own_seed("a red car", 3)) == "own noise, seed 3"
    assert noise_name("a red cup", own_seed("a red car", 3)) == f"seed {own_seed('a red car', 3)}"
    assert noise_name("a red car", 42) == "seed 42"


def test_a_case_without_one_of_the_metrics_is_not_chosen():
    records = [one for one in records_of(CASES) if (one.spec.prompt, one.labels.metric) != ("gains all", "blip")]
    assert [one.exhibit.prompt for one in opened(records).cases] == ["gains one", "loses one", "loses all"]


def test_the_sentence_and_the_table_say_the_shares_of_images():
    first = opened(records_of(CASES))
    # Fully bound: before, the two that lose; after, the one that gains all.
    assert first.sentence == (
        "The share of images in which every object has its attribute goes from 40% to 20% with clip and from 40% to "
        "20% with blip, as oracle judges them."
    )
    assert [(row["optimised"], row["before"], row["after"], row["prompts"]) for row in first.rows] == [
        ("clip", "0.40", "0.20", "5"), ("blip", "0.40", "0.20", "5"),
    ]  # fmt: skip
    assert first.where == "sd_turbo · 5 prompts of pairs_test · judge oracle · 10 trials"


def test_without_a_judge_the_score_is_shown_and_the_command_that_asks_one():
    records = records_of(CASES, judges=())
    first = opened(records)
    assert first.sentence.startswith("No judge looked at the images; the mean of the optimised score goes with clip")
    assert [(row["before"], row["after"]) for row in first.rows] == [("1.00", "3.00")] * 2
    assert all(one.gained is None for one in first.cases) and "by the gain in score" in first.rule
    results = tidy(records)
    none, others = unasked(results, slices(results))
    assert none.command == f"python -m reno.evaluate evaluators=blip_vqa results={results.root}"
    assert none.sentence == (
        "No judge looked at the images of sd_turbo, 5 prompts of pairs_test. This asks one, or says why it cannot "
        "judge them:"
    )
    assert others.sentence.startswith("Another judge can look at the images of sd_turbo: detector (detector_open too).")


def test_a_judge_that_missed_trials_is_named_with_its_command():
    records = records_of(CASES, models="testbed", judges=(("oracle", "none"), ("oracle_analytic", "none")))
    results = tidy(records)
    assert unasked(results, slices(results)) == []
    missed = [make_record("more", models="testbed", judges=(("oracle_analytic", "none"),))]
    results = tidy([*records, *missed])
    (one,) = unasked(results, slices(results))
    assert one.sentence == (
        "oracle has not judged 1 of 11 trials of testbed, 6 prompts of pairs_test. This asks it, or says why it "
        "cannot judge them:"
    )
    assert one.command.startswith("python -m reno.evaluate evaluators=oracle results=")


def test_the_judges_that_are_offered_are_there():
    assert {*OF_THE_TESTBED, *OF_PHOTOGRAPHS} <= set(Conf().options("evaluator"))


def test_typed_prompts_are_counted_as_what_they_are():
    assert (of_prompts("typed", 2), of_prompts("pairs_dev", 1)) == ("2 typed prompts", "1 prompt of pairs_dev")


def test_only_words_that_occur_are_explained():
    assert list(explained(["both there, not together"])) == ["both there, not together"]
