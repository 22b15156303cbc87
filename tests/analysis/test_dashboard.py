"""The dashboard holds the panels it promises, on keys that the job logs; without a key it says what it needs."""

from __future__ import annotations

import json
import types

import pytest

pytest.importorskip("wandb_workspaces")

from reno.config.conf import OWN
from reno.store.files import TRACE_COLUMNS
from reno.tracking.cards import card_of, numbers_of
from scripts.build_dashboard import JUDGES, METRICS, Drawn, drawn_by, main, spec_json, workspace


def panels(built):
    """The panels that saving would send, by their kind."""
    found: dict[str, list[dict]] = {}
    for section in json.loads(spec_json(built))["section"]["panelBankConfig"]["sections"]:
        for panel in section["panels"]:
            found.setdefault(panel["viewType"], []).append(panel["config"])
    return found


def keys_of(config, before=()):
    """The keys by which W&B addresses a run's config: `value` comes after the first part."""
    for name, value in config.items():
        path = (*before, name) if before else (name, "value")
        yield ".".join(path)
        if isinstance(value, dict):
            yield from keys_of(value, path)


@pytest.fixture
def logged(record):
    """What the job logs of a trial: the keys of its config, its history and its summary."""
    stored = record(judges=(("oracle", "none"),))
    named = types.SimpleNamespace(name="clip")
    settings = types.SimpleNamespace(method="reno")
    job = types.SimpleNamespace(models="m", metric=named, settings=settings, prompt_set="p", study="s", claims=())
    plan = types.SimpleNamespace(job=job, random=False, dtype="float32")
    card = card_of(stored.trial, plan, "s", stored.provenance)
    history = {*TRACE_COLUMNS, "image", "before", "after", "loss/clip"}
    return set(keys_of(card.config)), history, set(numbers_of(stored, stored.judgements))


def test_every_panel_is_there_and_draws_what_the_job_logs(logged):
    config, history, summary = logged
    built = workspace("lab", "reno", Drawn(["oracle"], ["clip"]))
    found = panels(built)
    assert {kind: len(some) for kind, some in found.items()} == {
        "Run History Line Plot": 4, "Media Browser": 3, "Bar Chart": 2, "Parallel Coordinates Plot": 1,
    }  # fmt: skip
    curves = found["Run History Line Plot"]
    assert {"loss/clip", "score"} <= {key for curve in curves for key in curve["metrics"]} <= history
    assert {curve["xAxis"] for curve in curves} == {"iteration"}
    assert {curve["groupBy"] for curve in curves} == {"series.value"} <= config
    shown = [set(media["mediaKeys"]) for media in found["Media Browser"]]
    assert shown == [{"before", "after"}, {"image"}, {"image"}] and set().union(*shown) <= history
    assert found["Media Browser"][1]["gridSettings"] == {"xAxis": "step", "yAxis": "run"}
    drawn = [set(bars["metrics"]) for bars in found["Bar Chart"]]
    assert drawn == [
        {f"oracle/{key}/{image}" for image in ("initial", "best")} for key in ("bound_share", "fully_bound")
    ]
    assert set().union(*drawn) <= summary
    assert {bars["groupBy"] for bars in found["Bar Chart"]} <= config
    (parallel,) = found["Parallel Coordinates Plot"]
    accessors = [column["accessor"].split(":") for column in parallel["columns"]]
    assert {name for section, name in accessors if section == "config"} <= config
    assert {name for section, name in accessors if section == "summary"} <= summary
    assert {"lr.value", "iterations.value", "oracle/bound_share/best"} <= {name for _, name in accessors}
    first = json.loads(spec_json(built))["section"]["panelBankConfig"]["sections"][0]
    assert [panel["viewType"] for panel in first["panels"]] == ["Media Browser"]


def test_each_metric_has_a_panel_of_its_own_loss():
    curves = panels(workspace("lab", "reno", Drawn(metrics=["clip", "blip"])))["Run History Line Plot"]
    assert [curve["metrics"] for curve in curves][:2] == [["loss/clip"], ["loss/blip"]]


def test_judges_and_metrics_are_those_of_the_projects_runs():
    runs = [
        types.SimpleNamespace(summary_metrics={"oracle/bound_share/best": 1, "loss/clip": 3.0, "loss": 3.0}),
        types.SimpleNamespace(summary_metrics={"mine/of two/bound_share/best": 0.5, "loss/clip+blip": 3.0}),
        types.SimpleNamespace(summary_metrics={}),
    ]
    assert drawn_by(runs) == Drawn(["mine/of two", "oracle"], ["clip", "clip+blip"])
    assert drawn_by([]) == Drawn(JUDGES, METRICS)


def test_the_runs_are_trials_of_a_study_and_neither_jobs_nor_its_report():
    (runs,) = json.loads(spec_json(workspace("lab", "reno", Drawn(), "clip_vs_blip")))["section"]["runSets"]
    told = {(one["key"]["name"], one["op"], one["value"]) for one in runs["filters"]["filters"]}
    assert {("jobType", "!=", "report"), ("jobType", "!=", "job")} <= told
    assert ("group", "clip_vs_blip") in {(name, value) for name, _, value in told}
    assert set(JUDGES) <= {path.stem for path in (OWN / "evaluator").glob("*.yaml")}


def test_without_a_key_it_says_in_a_sentence_what_is_needed(no_key, capsys):
    assert main(["--project", "reno"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "`wandb login` or WANDB_API_KEY" in said
    assert main(["--print", "--judges", "oracle"]) == 0
    assert "Parallel Coordinates Plot" in capsys.readouterr().out
