"""A key of a job that nobody reads is refused by its name, typed or in a user's own file."""

from __future__ import annotations

import pytest

from reno.config.compose import composed
from reno.config.page import RUN
from reno.config.words import parse

UNREAD = [
    ("models.generator.height=768", "generator stable_diffusion has no option 'height'; it has timestep"),
    ("models.generator.revisoin=x", "generator stable_diffusion has no option 'revisoin'; it has timestep"),
    (
        "models.checkpoints.clip.revisoin=x",
        "models.checkpoints.clip.revisoin is not a knob; models.checkpoints.clip has path; did you mean 'revision'?",
    ),
    (
        "models.generatr=x",
        "models.generatr is not a knob; models has batch_size, checkpoints, evaluators, generator, name, "
        "record, reference_bytes, reference_seconds; did you mean 'generator'?",
    ),
    ("metric.temperature=3", "metric.temperature is not a knob; metric has checkpoints, name, terms"),
    ("metric.nmae=x", "metric.nmae is not a knob; metric has checkpoints, name, terms; did you mean 'name'?"),
    ("metric.terms.0.hed=itc", "metric clip_itc has no option 'hed'; it has none"),
    ("method.restarts=3", "method reno has no option 'restarts'; it has start, start_by; did you mean 'start'?"),
    ("stop.patiense=3", "stop.patiense is not a knob; stop has patience, score, seconds; did you mean 'patience'?"),
    (
        "tracking.projet=x",
        "tracking.projet is not a knob; tracking has mode, project, entity, tags, level, images, images_every, "
        "timeout; did you mean 'project'?",
    ),
    ("optimizer.momentun=.8", "optimizer adam has no setting 'momentun'; it has betas, eps"),
    ("optimizer.ep=1", "optimizer adam has no setting 'ep'; it has betas, eps; did you mean 'eps'?"),
]


@pytest.mark.parametrize(("knob", "says"), UNREAD)
def test_a_key_that_nobody_reads_is_refused(refusal, knob, says):
    assert refusal(knob) == says


@pytest.mark.parametrize("typed", ["+", "++"])
@pytest.mark.parametrize(("knob", "says"), UNREAD[::4])
def test_it_is_refused_however_it_is_typed(refusal, typed, knob, says):
    """The words become the same for every knob (test_words.py)."""
    assert refusal(typed + knob) == says


@pytest.mark.parametrize("typed", ["", "++"])
def test_a_checkpoint_that_no_metric_and_no_judge_has_is_refused(refusal, compose, typed):
    said = refusal(f"{typed}models.checkpoints.clop.path=x")
    assert said.startswith("models.checkpoints.clop is not a knob; models.checkpoints has aesthetic, blip, ")
    assert said.endswith("; did you mean 'clip'?")
    compose("models.checkpoints.oracle.path=x")  # of a judge that is not chosen: it does nothing


def test_with_another_optimiser_the_near_word_is_its_own(refusal):
    assert refusal("optimizer=sgd_nesterov", "optimizer.momentun=.8") == (
        "optimizer sgd has no setting 'momentun'; it has momentum, nesterov; did you mean 'momentum'?"
    )


@pytest.mark.parametrize("knob", ["iteration=5", "promt=x", "metrics=blip"])
def test_a_knob_that_there_is_not_is_refused(knobs, knob):
    from reno.config.compose import explain

    parsed = parse(RUN, [*knobs, knob])
    with pytest.raises(Exception) as refused:
        composed(RUN, parsed)
    near = {"iteration": "iterations", "promt": "prompt", "metrics": "metric"}[knob.partition("=")[0]]
    assert explain(refused.value) == f"{knob.partition('=')[0]} is not a knob; did you mean {near!r}?"


@pytest.mark.parametrize("knob", ["+iteration=5", "++iteration=5"])
def test_a_knob_that_is_added_by_force_is_refused_too(refusal, knob):
    assert refusal(knob) == "iteration is not a knob; did you mean 'iterations'?"


# --- A user's own files -----------------------------------------------------------------------------------------------


CLIP = {"name": "mine", "terms": [{"kind": "clip", "model": "clip", "weight": 1.0}]}
OWN = [
    ("metric", {**CLIP, "temperature": 3}, "metric.temperature is not a knob"),
    ("metric", {**CLIP, "terms": [{**CLIP["terms"][0], "hed": 1}]}, "metric mine has no option 'hed'"),
    ("metric", {**CLIP, "term": []}, "metric.term is not a knob; metric has name, terms; did you mean 'terms'?"),
    ("metric", {"name": "mine", "terms": [{"kind": "blip", "model": "blip", "hed": 1}]}, "did you mean 'head'?"),
    ("method", {"name": "mine", "kind": "reno", "restarts": 3}, "method mine has no option 'restarts'"),
    ("optimizer", {"name": "sgd", "momentun": 0.8, "nesterov": False}, "did you mean 'momentum'?"),
    ("tracking", {"mode": "auto", "projet": "x"}, "tracking.projet is not a knob"),
    (
        "models",
        {"name": "mine", "generator": {"kind": "stable_diffusion", "path": "/x", "height": 3}, "record": [],
         "evaluators": [], "batch_size": 1},
        "generator stable_diffusion has no option 'height'",
    ),
    (
        "models",
        {"name": "mine", "generator": {"kind": "stable_diffusion", "path": "/x"}, "checkpoint": {}, "record": [],
         "evaluators": [], "batch_size": 1},
        "models.checkpoint is not a knob",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("group", "values", "says"), OWN)
def test_a_key_that_nobody_reads_in_a_file_of_ones_own_is_refused(refusal, own, group, values, says):
    assert says in refusal(*own(group, "mine", values), f"{group}=mine")


@pytest.mark.parametrize(
    ("group", "values", "says"),
    [
        ("evaluator", {"name": "mine", "kind": "blip_vqa", "treshold": 1}, "did you mean 'threshold'?"),
        ("metric", {**CLIP, "temperature": 3}, "metric.temperature is not a knob"),
    ],
)
def test_so_is_one_in_the_file_of_a_judge_or_a_recorded_metric(refusal, own, group, values, says):
    knob = {"evaluator": "evaluators", "metric": "record"}[group]
    assert says in refusal(*own(group, "mine", values), f"{knob}=mine")


def test_a_key_that_another_value_refers_to_counts_as_read(compose, own):
    values = {
        "name": "mine", "share": 0.25, "heads": {"of_blip": "itc"},
        "terms": [{"kind": "blip", "model": "blip", "weight": "${metric.share}", "head": "${metric.heads.of_blip}"}],
    }  # fmt: skip
    folder = own("metric", "mine", values)
    (term,) = compose(*folder, "metric=mine").metric.terms
    assert (term.weight, term.options) == (0.25, {"head": "itc"})
    assert compose(*folder, "metric=mine", "metric.share=3").metric.terms[0].weight == 3.0
    assert [metric.name for metric in compose(*folder, "record=mine").recorded] == ["mine"]


def test_a_method_may_have_a_key_that_only_its_own_options_refer_to(compose, own):
    values = {"name": "mine", "kind": "reno", "base": 2}
    assert compose(*own("method", "mine", values), "method=mine").settings.options == {"base": 2}
    values = {"name": "mine", "kind": "reno", "base": 2, "twice": "${method.base}"}
    assert compose(*own("method", "mine", values), "method=mine").settings.options == {"twice": 2}
