"""The dashboard holds the panels it promises, on keys that the job logs; without a key it says what it needs."""

from __future__ import annotations

import json
import types

import pytest

pytest.importorskip("wandb_workspaces")

from reno.config.conf import OWN
from reno.store.files import TRACE_COLUMNS
from reno.tracking.cards import card_of, series_of, summary_values
from scripts.build_dashboard import JUDGES, main, spec_json, workspace


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
    card = card_of(stored.trial, types.SimpleNamespace(job=job, random=False), "s", stored.provenance)
    return set(keys_of(card.config)), {*TRACE_COLUMNS, "image"}, set(summary_values(stored))


def test_every_panel_is_there_and_draws_what_the_job_logs(logged):
    config, history, summary = logged
    found = panels(workspace("lab", "reno", judges=["oracle"]))
    assert {kind: len(some) for kind, some in found.items()} == {
        "Run History Line Plot": 6, "Media Browser": 2, "Bar Chart": 1, "Parallel Coordinates Plot": 1,
    }  # fmt: skip
    curves = found["Run History Line Plot"]
    assert {"loss", "score"} <= {key for curve in curves for key in curve["metrics"]} <= history
    assert {curve["xAxis"] for curve in curves} == {"iteration"}
    loss = {curve["groupBy"] for curve in curves if curve["metrics"] == ["loss"]}
    assert loss == {"series.value", "labels.value.metric", "method.value.lr"}
    assert {curve["groupBy"] for curve in curves} <= config
    for media in found["Media Browser"]:
        assert set(media["mediaKeys"]) == {"image"} <= history
    assert found["Media Browser"][0]["gridSettings"] == {"xAxis": "step", "yAxis": "run"}
    (bars,) = found["Bar Chart"]
    assert set(bars["metrics"]) == {"oracle/bound/initial", "oracle/bound/best"} <= summary
    assert bars["groupBy"] in config
    (parallel,) = found["Parallel Coordinates Plot"]
    accessors = [column["accessor"].split(":") for column in parallel["columns"]]
    assert {name for section, name in accessors if section == "config"} <= config
    assert {name for section, name in accessors if section == "summary"} <= summary
    assert {"method.value.lr", "method.value.iterations", "oracle/bound/best"} <= {name for _, name in accessors}


def test_the_runs_are_trials_of_a_study_and_not_its_report():
    (runs,) = json.loads(spec_json(workspace("lab", "reno", study="clip_vs_blip")))["section"]["runSets"]
    told = {(one["key"]["name"], one["op"], one["value"]) for one in runs["filters"]["filters"]}
    assert ("jobType", "!=", "report") in told
    assert ("group", "clip_vs_blip") in {(name, value) for name, _, value in told}
    assert len(panels(workspace("lab", "reno"))["Bar Chart"]) == len(JUDGES)
    assert (
        {"oracle", "blip_vqa", "detector", "detector_open"}
        == set(JUDGES)
        <= {path.stem for path in (OWN / "evaluator").glob("*.yaml")}
    )


def test_a_line_is_a_metric_with_its_learning_rate_or_its_control():
    def series(**method):
        return series_of(types.SimpleNamespace(method=method), "clip")

    assert series(name="reno", lr=0.05) == "clip, lr 0.05"
    assert series(name="decoder_only", lr=5.0) == "clip, decoder_only, lr 5"
    assert series(name="best_of_n", iterations=50) == "clip, best_of_n"


def test_without_a_key_it_says_in_a_sentence_what_is_needed(no_key, capsys):
    assert main(["--project", "reno"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "`wandb login` or WANDB_API_KEY" in said
    assert main(["--print", "--judges", "oracle"]) == 0
    assert "Parallel Coordinates Plot" in capsys.readouterr().out
