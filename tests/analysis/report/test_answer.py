"""The answer's sentences: what they say of each verdict."""

from __future__ import annotations

from analysis.claims import claims
from analysis.data.frames import tidy
from analysis.numbers.slices import slices
from analysis.report.answer import answer

RIGHT, WRONG = ("right",) * 2, ("gone",) * 2


def answered(results):
    cut = slices(results)
    return answer(results, cut, claims(cut))


def test_metrics_of_one_verdict_are_named_together_and_equivalence_is_said(many):
    up = [(WRONG, RIGHT)] * 60
    moved, first, second, third, _ = answered(many({"clip": up, "blip": up}))
    assert (
        "from 0.00 to 1.00 with clip (change +1.00 [0.88, 1.00], 60 prompts) and from 0.00 to 1.00 with blip" in moved
    )
    assert first == "That ReNO improves binding is supported with clip and with blip."
    assert second == (
        "That CLIP beats BLIP overall does not show: the two are equivalent within ±0.05 (prompts fully bound, clip − "
        "blip: 0.00 [−0.06, 0.06])."
    )
    assert third.startswith("That CLIP gets the objects in but binds attributes less does not show: the two are ")
    assert third.count("; that ") == 1


def test_metrics_of_two_verdicts_are_told_apart_and_the_reason_follows(many):
    _, first, *_ = answered(many({"clip": [(WRONG, RIGHT)] * 20, "blip": [(WRONG, WRONG)] * 20}))
    assert first == (
        "That ReNO improves binding is supported with clip and undecided with blip (about 32 more prompts would "
        "decide)."
    )


def test_where_reno_is_behind_best_of_n_it_says_so(record):
    records = [record(f"p{k}", k, before=WRONG, after=RIGHT if k < 10 else WRONG) for k in range(20)]
    records += [record(f"p{k}", k, before=WRONG, after=RIGHT, method="best_of_n") for k in range(20)]
    _, first, *_ = answered(tidy(records))
    assert "; ReNO's share minus that of best of n, with as many images, is −0.50 [−" in first
    assert first.endswith("] with clip (ReNO is behind).")


def test_one_prompt_and_no_judge_are_said_in_plain_words(many):
    moved, *_ = answered(many({"clip": [(WRONG, RIGHT)]}))
    assert "1 prompt)" in moved and "1 prompts" not in moved
    text = " ".join(answered(many({"clip": [(WRONG, RIGHT)] * 7}, judges=())))
    assert "nothing can be said about binding: no judge looked at these trials." in text
    assert "judged by no judge" not in text and "0 of them" not in text


def test_other_judges_with_other_metrics_are_counted_among_the_verdicts(record):
    """A judge that saw trials of a metric that the first judge did not see."""
    both, one = (("oracle", "none"), ("vqa", "none")), (("vqa", "none"),)
    records = [record(f"p{k}", k, "clip", judges=both) for k in range(8)]
    records += [record(f"p{k}", k, "red_share", judges=one) for k in range(8)]
    assert "verdicts are the same" in answered(tidy(records))[-1]
