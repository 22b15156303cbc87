"""The gallery's cards: every setting of a metric, curves in one scale, within limits."""

from __future__ import annotations

import pytest

from analysis.data import load
from analysis.numbers.slices import slices
from analysis.report import cards
from analysis.report.cards import gallery, svg_path
from analysis.report.exhibits import changes_of, exhibits
from reno.spec.prompts import Binding, Prompt
from scripts.synthesise_store import Truth, configurations, synthesise

SETTINGS = [one for one in configurations(iterations=(5, 8), lrs=(0.01, 0.05)) if one.method["name"] == "reno"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("cards") / "results"
    prompts = [Prompt(text, (Binding("red", "car"), Binding("blue", "cup"))) for text in ("a", "b")]
    synthesise(root, 99, prompts={"set": prompts}, configured=SETTINGS, seeds=1, truth=Truth(failures=0))
    results = load(root)
    cut = slices(results)
    shown = exhibits(cut)
    return results, cut, shown, changes_of(results, shown)


def test_a_card_has_each_metric_at_every_setting_and_shows_one_of_each_first(store):
    for card in gallery(*store):
        sides = [(side.metric, side.settings) for side in card.sides]
        every = ["5 it., lr 0.01", "5 it., lr 0.05", "8 it., lr 0.01", "8 it., lr 0.05"]
        assert sides == [(metric, settings) for metric in ("clip", "blip") for settings in every]
        assert [side.metric for side in card.sides if side.first] == ["clip", "blip"]
        assert all(side.outcomes != ("not judged",) for side in card.sides)
        assert card.last == 8


def test_beyond_the_limit_of_strips_other_settings_have_their_best_image_only(store, monkeypatch):
    monkeypatch.setattr(cards, "MOST_STRIPS", 2 * 2 + 6)  # what is shown first, and the others of one card
    shown = gallery(*store)
    counts = [[side.picture.count > 1 for side in card.sides if not side.first] for card in shown]
    assert sorted(map(any, counts)) == [False, True]
    assert [any(side.still for side in card.sides) for card in shown] == [not any(moving) for moving in counts]
    monkeypatch.setattr(cards, "MOST_OTHERS", 1)
    assert all(len(card.sides) == 4 for card in gallery(*store))


def test_curves_of_one_metric_have_one_scale(store):
    (card, *_) = gallery(*store)
    own = [side for side in card.sides if side.metric == "clip"]
    values = [value for side in own for value in side.curve]
    for side in own:
        assert side.path == svg_path(side.curve, min(values), max(values))


def test_a_curve_is_broken_where_a_score_is_not_finite():
    assert svg_path([0.0, None, 1.0, 2.0], 0.0, 2.0) == "M0.0 28.0M66.7 15.0L100.0 2.0"
    assert svg_path([1.0], 1.0, 1.0) == "M0.0 28.0"


def test_a_curve_of_which_few_images_have_a_score_joins_them():
    assert svg_path([0.0, None, None, 1.0, None, None, 2.0], 0.0, 2.0) == "M0.0 28.0L50.0 15.0L100.0 2.0"
