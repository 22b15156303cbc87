"""A trial's card and summary."""

from __future__ import annotations

import json

import pytest

from reno.running.plan import make_plan
from reno.spec.prompts import Prompt
from reno.spec.trial import TrialSpec
from reno.store.records import TrialRecord
from reno.tracking.cards import card_of, series_of, summary_values
from tests.store.records import golden

RECORD = TrialRecord.from_json(golden("trial_whole"))


def test_a_card_holds_the_whole_spec_and_provenance(compose):
    text = "a red car and a very very very long text that no name of a run should hold"
    plan = make_plan(compose(f"prompt={text}", "study=s"))
    (trial,) = plan.trials
    card = card_of(trial, plan, "the group", RECORD.provenance)
    assert (card.id, card.group, card.job_type) == (trial.id, "the group", "clip")
    assert card.name == f"{text[:60]} · seed 42 · clip"
    assert card.tags == ("sd_turbo", "reno", "s")
    assert {key: card.config[key] for key in trial.identity} == trial.identity
    assert card.config["provenance"] == RECORD.to_json()["provenance"]
    assert card.config["labels"]["metric"] == "clip" and card.config["labels"]["study"] == "s"
    assert card.config["series"] == "clip, lr 0.01"
    assert card.config["bindings"] == (
        {"attribute": "red", "object": "car"},
        {"attribute": "long", "object": "text"},
    )
    json.dumps(card.config)


def test_a_runs_name_shows_what_would_steer_and_its_config_has_the_prompt_as_it_was_typed(compose):
    plan = make_plan(compose("prompt=a\x1b[31m red\u202e car"))
    card = card_of(plan.trials[0], plan, "g", RECORD.provenance)
    assert card.name == r"a\x1b[31m red\u202e car · seed 42 · clip"
    assert card.config["prompt"] == "a\x1b[31m red\u202e car"


def test_a_card_without_a_study_has_no_tag_for_it(compose):
    plan = make_plan(compose("prompt=a red car and a blue cup"))
    card = card_of(plan.trials[0], plan, "g", RECORD.provenance)
    assert card.tags == ("sd_turbo", "reno")
    assert card.config["bindings"] == (
        {"attribute": "red", "object": "car"}, {"attribute": "blue", "object": "cup"},
    )  # fmt: skip


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
    assert series_of(TrialSpec(Prompt("x"), 0, "g", (), "float32", method), "blip") == series


def test_a_summary_has_a_flat_value_for_each_score_and_judgement():
    values = summary_values(RECORD)
    scores = RECORD.scores
    for which, by_metric in (("initial", scores.initial), ("best", scores.best), ("last", scores.last)):
        for metric, score in by_metric.items():
            assert values[f"score/{metric}/{which}"] == score
    judged = RECORD.judgements["oracle"]
    for which, verdict in (("initial", judged.initial), ("best", judged.best)):
        assert values[f"oracle/bound/{which}"] == verdict.bound
        assert values[f"oracle/all_bound/{which}"] == verdict.all_bound
        assert values[f"oracle/swapped/{which}"] == verdict.faults["swapped"]
    assert values["oracle/score/best"] == 0.25 and "oracle/score/initial" not in values
    assert (values["best_iteration"], values["seconds"]) == (RECORD.best_iteration, RECORD.timings.seconds)


def test_the_whole_record_is_in_it_as_one_text():
    """But what the run's config holds; a nested value would be rounded."""
    kept = json.loads(summary_values(RECORD)["record"])
    whole = json.loads(json.dumps(RECORD.to_json()))
    assert kept == {key: value for key, value in whole.items() if key not in ("schema", "files", "provenance")}
    assert not any(isinstance(value, dict | list) for value in summary_values(RECORD).values())
