"""GenEval's rules on detections made by hand, whose verdicts its public code gives too."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from reno.evaluators.geneval import correct, relations
from reno.spec.prompts import Prompt, Wanted


@dataclass(frozen=True)
class Seen:
    object: str
    score: float
    box: tuple[float, float, float, float] = (0, 0, 10, 10)
    color: str = "red"


def verdict(found, *wanted, unwanted=(), category=""):
    return correct(Prompt("x", (), category, wanted, unwanted), found, lambda one: one.color)


def test_an_object_counts_above_three_tenths_and_is_not_looked_for_under_another_name():
    assert verdict([Seen("car", 0.31)], Wanted("car"))
    assert not verdict([Seen("car", 0.3)], Wanted("car"))
    assert not verdict([Seen("truck", 0.9)], Wanted("car"))
    assert not verdict([], Wanted("car"))


def test_counting_asks_for_nine_tenths_and_for_no_more_than_were_asked_for():
    three = [Seen("car", 0.95)] * 3
    assert verdict(three, Wanted("car", 3), unwanted=(Wanted("car", 4),), category="counting")
    assert not verdict([*three, Seen("car", 0.91)], Wanted("car", 3), unwanted=(Wanted("car", 4),), category="counting")
    assert verdict([*three, Seen("car", 0.9)], Wanted("car", 3), unwanted=(Wanted("car", 4),), category="counting")
    assert not verdict([Seen("car", 0.5)] * 3, Wanted("car", 3), category="counting")
    assert verdict([Seen("car", 0.5)] * 3, Wanted("car", 3))


def test_the_colour_is_that_of_the_surest_detections():
    sure, unsure = Seen("car", 0.9, color="red"), Seen("car", 0.5, color="blue")
    assert verdict([unsure, sure], Wanted("car", 1, "red"))
    assert not verdict([unsure, sure], Wanted("car", 1, "blue"))
    assert not verdict([unsure, sure], Wanted("car", 2, "red"))
    assert verdict([sure, sure], Wanted("car", 2, "red"))


def test_at_most_sixteen_of_a_class_count():
    assert verdict([Seen("car", 0.9)] * 20, Wanted("car", 16))
    assert not verdict([Seen("car", 0.9)] * 20, Wanted("car", 17))


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((100, 0, 110, 10), {"right of"}),  # x: (100 - 2) / 100
        ((-100, 0, -90, 10), {"left of"}),
        ((0, -100, 10, -90), {"above"}),
        ((0, 100, 10, 110), {"below"}),
        ((100, 100, 110, 110), {"right of", "below"}),  # each 98 / 141 = 0.69
        ((100, 40, 110, 50), {"right of"}),  # y: 38 / 108 = 0.35
        ((2, 0, 12, 10), set()),  # 2 pixels of 20: nothing is left
        ((3.9, 0, 13.9, 10), set()),  # (3.9 - 2) / 3.9 = 0.487
        ((4.1, 0, 14.1, 10), {"right of"}),  # (4.1 - 2) / 4.1 = 0.512
        ((0, 0, 10, 10), set()),
    ],
)
def test_how_a_box_lies_from_another_by_hand(box, expected):
    assert relations(box, (0, 0, 10, 10)) == expected


@pytest.mark.parametrize(
    ("box", "other", "expected"),
    [
        # centres (110, 25) and (40, 52.5); a tenth of the sides: (20 + 40) / 10 and (10 + 35) / 10
        ((100, 20, 120, 30), (20, 35, 60, 70), {"right of"}),  # x: 64 / 75.2; y: 23 / 75.2
        ((20, 35, 60, 70), (100, 20, 120, 30), {"left of"}),
        # centres (30, 205) and (40, 52.5): x: 4 / 152.8 of what is left of 10; y: 146.5 / 152.8
        ((20, 190, 40, 220), (20, 35, 60, 70), {"below"}),
        ((20, 35, 60, 70), (20, 190, 40, 220), {"above"}),
        ((96, 0, 104, 8), (0, 0, 8, 8), {"right of"}),
        # A shift of 40 of which 20 are left is exactly one half, which names nothing.
        ((0, 0, 100, 10), (-40, 0, 60, 10), set()),
        ((-40, 0, 60, 10), (0, 0, 100, 10), set()),
        ((0, 0, 10, 100), (0, -40, 10, 60), set()),
        ((0, -40, 10, 60), (0, 0, 10, 100), set()),
        ((0.001, 0, 0.001, 0), (0, 0, 0, 0), {"right of"}),  # points: a thousandth of a pixel is enough
        ((0, 0, 1, 100), (0, -40, 1, 57), {"below"}),  # centres 41.5 apart, 19.7 less: 21.8 / 41.5
    ],
)
def test_how_boxes_of_different_sides_and_places_lie_by_hand(box, other, expected):
    assert relations(box, other) == expected


def test_a_place_holds_for_each_pair_and_needs_its_reference():
    near, left, right = Seen("cup", 0.9), Seen("car", 0.9, (-100, 0, -90, 10)), Seen("car", 0.8, (100, 0, 110, 10))
    asked = Wanted("cup"), Wanted("car", 1, None, ("left of", 0))
    assert verdict([near, left], *asked)
    assert not verdict([near, right], *asked)
    assert verdict([near, left, right], *asked)  # the surest car
    assert not verdict([near, left, right], Wanted("cup"), Wanted("car", 2, None, ("left of", 0)))
    assert not verdict([left], *asked)
    assert not verdict([near, left], Wanted("cup", 1, "blue"), asked[1])


def test_all_that_is_asked_for_has_to_be_there():
    both = [Seen("car", 0.9), Seen("cup", 0.4, color="blue")]
    assert verdict(both, Wanted("car", 1, "red"), Wanted("cup", 1, "blue"))
    assert not verdict(both, Wanted("car", 1, "blue"), Wanted("cup", 1, "red"))
    assert not verdict(both[:1], Wanted("car", 1, "red"), Wanted("cup", 1, "blue"))
