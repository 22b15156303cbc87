"""A trial's card and summary."""

from __future__ import annotations

import json

import pytest

from reno.running.plan import make_plan
from reno.store.records import TrialRecord
from reno.tracking.cards import card_of, numbers_of, record_text, series_of, settings_text
from tests.store.records import golden

RECORD = TrialRecord.from_json(golden("trial_whole"))


def test_a_cards_config_is_what_one_filters_by_and_its_provenance_is_the_whole_spec(compose):
    text = "a red car and a very very very long text that no name of a run should hold"
    plan = make_plan(compose(f"prompt={text}", "study=s", "lr=0.05"))
    (trial,) = plan.trials
    card = card_of(trial, plan, "the group", RECORD.provenance)
    assert (card.id, card.group, card.job_type) == (trial.id, "the group", "clip")
    assert card.tags == ("sd_turbo", "reno", "s")
    filters = {name: value for name, value in card.config.items() if name != "provenance"}
    assert filters == {
        "prompt": text, "seed": 42, "models": "sd_turbo", "metric": "clip", "method": "reno", "optimizer": "adam",
        "lr": 0.05, "iterations": 2, "regularization": 0.0, "grad_clip": None, "prompts": None, "study": "s",
        "dtype": "float32", "series": "clip, lr 0.05",
    }  # fmt: skip
    told = card.config["provenance"]
    assert told["spec"] == trial.identity
    assert RECORD.to_json()["provenance"].items() <= told.items()
    assert told["labels"]["metric"] == "clip" and told["labels"]["study"] == "s"
    assert [(one["attribute"], one["object"]) for one in told["bindings"]] == [("red", "car"), ("long", "text")]
    json.dumps(card.config)


def test_a_method_that_takes_no_gradient_has_no_learning_rate_to_filter_by(compose):
    plan = make_plan(compose("prompt=a red car", "method=best_of_n"))
    config = card_of(plan.trials[0], plan, "g", RECORD.provenance).config
    assert config["method"] == "best_of_n" and not {"lr", "optimizer", "grad_clip"} & set(config)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["prompt=a gold bench and a green clock", "lr=0.05"], "gold bench + green clock · clip · adam .05 2 it · s42"),
        (["prompt=a red car", "lr=5", "seed=7", "optimizer=sgd_nesterov", "grad_clip=0.1", "regularization=0.01"],
         "red car · clip · sgd 5 reg .01 clip .1 2 it · s7"),
        (["prompt=a red car", "metric=blip", "method=best_of_n", "iterations=50"], "red car · blip · best_of_n · s42"),
        (["prompt=what a day"], "what a day · clip · adam .01 2 it · s42"),
    ],
)  # fmt: skip
def test_a_name_tells_trials_apart(compose, words, name):
    plan = make_plan(compose(*words))
    assert card_of(plan.trials[0], plan, "g", RECORD.provenance).name == name


def test_a_runs_name_shows_what_would_steer_and_its_config_has_the_prompt_as_it_was_typed(compose):
    plan = make_plan(compose("prompt=what\x1b[31m a\u202e day"))
    card = card_of(plan.trials[0], plan, "g", RECORD.provenance)
    assert card.name.startswith(r"what\x1b[31m a\u202e day · clip")
    assert card.config["prompt"] == "what\x1b[31m a\u202e day"


def test_a_card_without_a_study_has_no_tag_for_it(compose):
    plan = make_plan(compose("prompt=a red car and a blue cup"))
    assert card_of(plan.trials[0], plan, "g", RECORD.provenance).tags == ("sd_turbo", "reno")


@pytest.mark.parametrize(
    ("method", "series"),
    [
        ({"name": "reno", "lr": 0.05}, "blip, lr 0.05"),
        ({"name": "reno", "lr": 0.05, "options": {"start": 10}}, "blip, lr 0.05, start 10"),
        ({"name": "decoder_only", "lr": 5.0}, "blip, decoder_only, lr 5"),
        ({"name": "best_of_n", "iterations": 3}, "blip, best_of_n"),
    ],
)
def test_a_series_is_metric_method_and_learning_rate(method, series):
    assert series_of(method, "blip") == series


def test_settings_text_has_the_options_of_a_method():
    assert settings_text({"name": "gper", "iterations": 50, "options": {"start": 10}}) == "gper start 10"


def test_the_outcome_is_numbers_whose_means_are_shares():
    judgements = RECORD.judgements
    values = numbers_of(RECORD, judgements)
    scores = RECORD.scores
    for image, by_metric in (("initial", scores.initial), ("best", scores.best), ("last", scores.last)):
        for metric, score in by_metric.items():
            assert values.get(f"score/{metric}/{image}") == score
    assert values["score/clip/gain"] == scores.best["clip"] - scores.initial["clip"]
    judged = judgements["oracle"]
    for image, verdict in (("initial", judged.initial), ("best", judged.best)):
        assert values[f"oracle/bound_share/{image}"] == verdict.bound / len(verdict.judgements)
        assert values[f"oracle/fully_bound/{image}"] == (1 if verdict.all_bound else 0)
        assert values[f"oracle/swapped/{image}"] == (1 if verdict.faults["swapped"] else 0)
    gain = (judged.best.bound - judged.initial.bound) / len(judged.best.judgements)
    assert values["oracle/bound_share/gain"] == pytest.approx(gain)
    assert (values["best_iteration"], values["seconds"]) == (RECORD.best_iteration, RECORD.timings.seconds)
    assert all(type(value) in (int, float) for value in values.values())


def test_the_whole_record_with_later_judgements_is_one_text():
    """But what the config's provenance holds; a nested value would be rounded."""
    later = {**RECORD.judgements, "later": RECORD.judgements["oracle"]}
    kept = json.loads(record_text(RECORD, later))
    whole = json.loads(json.dumps(RECORD.to_json()))
    whole["judgements"]["later"] = whole["judgements"]["oracle"]
    assert kept == {key: value for key, value in whole.items() if key not in ("schema", "files", "provenance")}
