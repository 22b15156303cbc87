"""What the screen says of a judge's verdicts."""

from __future__ import annotations

from reno.screen.judging import shares_of
from reno.spec.judgements import Judgement, Verdict


def verdict(*bound, **more):
    said = tuple(Judgement("red", "car", True, True, holds, 1.0, 1.0, 1.0) for holds in bound)
    return Verdict(said, {}, **more)


def test_shares_are_of_images_and_of_bindings_before_and_after():
    pairs = [
        (verdict(True, False, score=0.2), verdict(True, True, score=0.6)),
        (verdict(False, score=0.0), verdict(False, score=0.1)),
        (verdict(True, score=0.5), verdict(True, score=0.5)),
        (verdict(score=0.1), verdict(score=0.2)),  # no binding: only its score counts
    ]
    assert shares_of(pairs) == [
        "images with all bindings right 1 -> 2 of 3 (33% -> 67%)",
        "bindings that hold 2 -> 3 of 4 (50% -> 75%)",
        "mean score 0.20 -> 0.35",
    ]  # fmt: skip


def test_where_there_is_one_image_there_is_one_value():
    right, wrong = verdict(correct=True), verdict(True, False, correct=False)
    assert shares_of([(right, right), (right, right), (wrong, wrong)]) == [
        "images with all bindings right 0 of 1 (0%)",
        "bindings that hold 1 of 2 (50%)",
        "correct images 2 of 3 (67%)",
    ]
    assert shares_of([]) == []
