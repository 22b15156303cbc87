"""From what a user types to a checked job: every knob, metric, checkpoint and revision that is read."""

from __future__ import annotations

import dataclasses
import re

import pytest

from reno.config.compose import composed
from reno.config.job import job_from_config
from reno.config.page import RUN
from reno.config.words import parse
from reno.running.plan import make_plan
from reno.spec.job import Checkpoint, Execution


def test_no_argument_is_the_reports_setting(compose):
    job = compose("iterations=50")
    settings = job.settings
    assert (settings.method, settings.optimizer, settings.lr, settings.iterations) == ("reno", "adam", 0.01, 50)
    assert (settings.regularization, settings.grad_clip, job.seeds, job.metric.name) == (0.0, None, (42,), "clip")
    assert settings.optimizer_settings == {"betas": [0.9, 0.999], "eps": 1e-8}
    assert (settings.kind, settings.options) == ("", {})
    assert job.prompts[0].text == "a gold bench and a green clock"
    assert (len(job.prompts), job.prompt_set, job.own_noise, job.study, job.claims) == (12, "report", False, None, ())
    assert (job.device, job.dtype, job.batch_size, job.dry_run) == ("auto", "auto", 1, False)
    assert job.execution == Execution(checkpointing=None, compile=None, graph=False, channels_last=False)
    assert [metric.name for metric in job.recorded] == ["clip", "blip"] and job.evaluators == ()
    assert job.reference_seconds == 49.0


def test_the_papers_preset_is_one_knob_and_its_parts_can_be_overridden(compose):
    paper = compose("optimizer=sgd_nesterov").settings
    assert (paper.lr, paper.grad_clip, paper.regularization) == (5.0, 0.1, 0.01)
    assert paper.optimizer_settings == {"momentum": 0.9, "nesterov": True}
    assert compose("optimizer=sgd_nesterov", "lr=1.0").settings.lr == 1.0


def test_every_knob_reaches_the_job(compose, tmp_path):
    job = compose(
        "prompt=[a red car,a cup]", "seed=[3,1]", "own_noise=true", "lr=2", "iterations=7",
        "regularization=0.5", "grad_clip=0.25", "record=blip", "evaluators=oracle", "batch_size=auto", "device=cuda:1",
        "dtype=bfloat16", "checkpointing=true", "compile=true", "channels_last=true", "threads=1",
        f"results={tmp_path}", "study=mine", "claims=clip_vs_blip", "dry_run=true", "tracking=offline",
        "tracking.project=lab",
    )  # fmt: skip
    assert [prompt.text for prompt in job.prompts] == ["a red car", "a cup"] and job.prompt_set is None
    assert (job.seeds, job.own_noise) == ((3, 1), True)
    settings = job.settings
    assert (settings.lr, settings.iterations, settings.regularization, settings.grad_clip) == (2.0, 7, 0.5, 0.25)
    assert [metric.name for metric in job.recorded] == ["blip"] and [judge.name for judge in job.evaluators] == [
        "oracle"
    ]
    assert (job.batch_size, job.device, job.dtype, job.threads) == (None, "cuda:1", "bfloat16", 1)
    assert job.execution == Execution(checkpointing=True, compile=True, channels_last=True)
    assert (job.results, job.study, job.dry_run) == (tmp_path, "mine", True)
    assert [claim["key"] for claim in job.claims] == ["a", "b", "c", "d"]
    assert job.tracking == {
        "mode": "offline", "project": "lab", "entity": None, "tags": [], "level": "all", "images": True,
        "images_every": 1, "timeout": 30,
    }  # fmt: skip


def test_claims_are_those_of_a_file_or_the_studys_own(own, compose, refusal):
    claim = {"key": "a", "statement": "s", "definition": "d", "parts": [{"measure": "bound", "a": "x", "b": "y"}]}
    for values in ([claim], {"claims": [claim]}):
        assert compose(*own("claim_sets", "mine", values), "claims=mine").claims == (claim,)
    assert "must be a list of claims" in refusal(*own("claim_sets", "mine", {"claim": 1}), "claims=mine")
    assert compose("claims=[{key: a,statement: s,definition: d,parts: [{measure: bound,a: x,b: 'y'}]}]").claims == (
        claim,
    )
    assert "must be a list of claims" in refusal("claims=[{key: a}]")
    level = "claims=[{key: a,statement: s,definition: d,parts: [{measure: objects,a: clip%s}]}]"
    assert compose(level % ",at_least: 0.9").claims[0]["parts"] == [
        {"measure": "objects", "a": "clip", "at_least": 0.9}
    ]
    assert "claim a of claims cannot be used: a part has b, what a is compared with, or at_least" in refusal(level % "")
    assert "at_least must be above 0 and below 1, not 90" in refusal(level % ",at_least: 90")
    twice = refusal(*own("claim_sets", "mine", [claim, claim]), "claims=mine")
    assert "has two claims with the key 'a'; give each a key of its own" in twice


def test_a_seed_a_prompt_is_its_own_where_that_is_asked_for(compose):
    shared, own = (compose("prompt=[a,b]", "seed=[0,1]", f"own_noise={flag}") for flag in ("false", "true"))
    assert [shared.seeds_for(prompt) for prompt in shared.prompts] == [(0, 1)] * 2
    assert len({seed for prompt in own.prompts for seed in own.seeds_for(prompt)}) == 4


# --- Metrics and their checkpoints ------------------------------------------------------------------------------------


def test_an_option_of_a_metric_is_part_of_its_name(compose):
    job = compose("metric=blip", "metric.head=itc")
    assert job.metric.name == "blip_itc" and job.metric.terms[0].options == {"head": "itc", "first_token": "enc"}
    assert [metric.name for metric in job.recorded] == ["clip", "blip"]
    assert compose("metric=blip").metric.name == "blip"


def test_a_sum_has_its_terms_with_their_weights(compose):
    clip, blip = compose("metric=clip+blip", "metric.blip_weight=2.5").metric.terms
    assert (clip.kind, clip.weight, clip.options, clip.name) == ("clip", 1.0, {}, "clip")
    assert (blip.kind, blip.weight, blip.name) == ("blip", 2.5, "blip")
    assert blip.options == {"head": "itm", "first_token": "enc"}


@pytest.mark.parametrize(
    ("words", "name", "first", "recorded"),
    [
        ([], "blip", "enc", "enc"),
        (["metric.first_token=enc"], "blip", "enc", "enc"),
        (["metric.first_token=cls"], "blip_cls", "cls", "enc"),
        (["models.checkpoints.blip.options={first_token: cls}"], "blip", "cls", "cls"),
        (["models.checkpoints.blip.options={first_token: cls}", "metric.first_token=enc"], "blip_enc", "enc", "cls"),
    ],
)
def test_a_checkpoint_says_how_it_was_trained_and_the_metric_may_say_otherwise(compose, words, name, first, recorded):
    """Given in a folder, a checkpoint was trained as the published one was, unless its own entry says otherwise."""
    job = compose("metric=blip", *words)
    assert (job.metric.name, job.metric.terms[0].options["first_token"]) == (name, first)
    assert job.recorded[1].terms[0].options["first_token"] == recorded


def test_an_option_of_a_checkpoint_is_checked_and_reaches_only_metrics_that_have_it(refusal, compose, own):
    assert refusal("metric=blip", "models.checkpoints.blip.options={first_tokn: cls}") == (
        "models.checkpoints.blip.options.first_tokn is not an option of metric blip; did you mean 'first_token'?"
    )
    assert refusal("metric=blip", "models.checkpoints.blip.options={first_token: dec}").startswith(
        "metric blip: first_token=dec is not known; use cls or enc"
    )
    assert refusal("metric=blip", "models.checkpoints.blip.options.foo=1") == (
        "models.checkpoints.blip.options.foo is not an option of metric blip"
    )
    assert refusal("metric=clip", "models.checkpoints.clip.options.first_token=enc") == (
        "models.checkpoints.clip.options.first_token is not an option of metric clip"
    )
    typo = {"blip": {"path": "/x", "options": {"far_off": 1}}}
    words = own("metric", "mine", {"name": "mine", "terms": [{"kind": "blip", "model": "blip"}], "checkpoints": typo})
    assert refusal(*words, "metric=mine") == "models.checkpoints.blip.options.far_off is not an option of metric mine"


def test_a_metric_that_leaves_an_option_out_has_that_of_its_checkpoint(compose, own):
    """Whether its own file gives it, or the models'; one that it says itself comes first."""
    term = {"kind": "blip", "model": "blip", "head": "itm"}
    trained = {"checkpoints": {"blip": {"path": "/x", "options": {"first_token": "enc"}}}}
    words = own("metric", "mine", {"name": "mine", "terms": [term], **trained})
    (found,) = make_plan(compose(*words, "metric=mine")).metric.spec.terms
    assert found.options == {"head": "itm", "first_token": "enc"}
    own("metric", "said", {"name": "said", "terms": [{**term, "first_token": "cls"}], **trained})
    (found,) = make_plan(compose(*words, "metric=said")).metric.spec.terms
    assert found.options == {"head": "itm", "first_token": "cls"}
    own("metric", "plain", {"name": "plain", "terms": [term]})
    embedded = ["models=testbed", "models.generator.revision=null"]
    (found,) = make_plan(compose(*words, *embedded, "metric=plain")).metric.spec.terms
    assert found.options == {"head": "itm", "first_token": "cls"}


def test_an_option_in_the_models_file_binds_no_other_kind(compose, refusal, own, tmp_path, monkeypatch):
    (tmp_path / "lab_of_mine").mkdir()
    (tmp_path / "lab_of_mine" / "odd.py").write_text("def load(folder, *, dtype, device, sharpness=1): ...")
    monkeypatch.syspath_prepend(tmp_path)
    words = own("metric", "mine", {"name": "mine", "terms": [{"kind": "lab_of_mine.odd", "model": "blip"}]})
    words += ["models=testbed", "metric=mine"]
    assert make_plan(compose(*words)).metric.spec.terms[0].options == {}
    assert refusal(*words, "models.checkpoints.blip.options.first_token=cls") == (
        "models.checkpoints.blip.options.first_token is not an option of metric mine"
    )


def test_the_embedded_blip_was_trained_with_cls_and_its_trials_keep_their_ids():
    """What a trial's identity says of its metric is what it said before there was a choice."""
    for words, head in ((["metric=blip"], "itm"), (["metric=blip", "metric.first_token=cls"], "itm"),
                        (["metric=blip", "metric.head=itc"], "itc")):  # fmt: skip
        parsed = parse(RUN, words)
        (term,) = make_plan(job_from_config(composed(RUN, parsed), parsed.conf)).metric.identity
        assert {key: term[key] for key in term if key != "weights"} == {"kind": "blip", "head": head, "weight": 1.0}


def test_a_metric_brings_its_checkpoint_unless_another_is_given(compose, tiny):
    given = compose().metric.terms[0].model
    assert given.checkpoint == Checkpoint(str(tiny / "clip")) and given.knob == "models.checkpoints.clip"
    own = compose("models.checkpoints.clip.path=null").metric.terms[0].model
    pinned = Checkpoint("openai/clip-vit-base-patch32", "c237dc49a33fc61debc9276459120b7eac67e7ef")
    assert own.checkpoint == pinned
    same = compose(f"models.checkpoints.clip.path={pinned.path}", "models.checkpoints.clip.variant=fp16")
    assert same.metric.terms[0].model.checkpoint == dataclasses.replace(pinned, variant="fp16")
    revision = (
        compose("models.checkpoints.clip.path=null", "models.checkpoints.clip.revision=abc").metric.terms[0].model
    )
    assert revision.checkpoint == Checkpoint("openai/clip-vit-base-patch32", "abc")
    variant = ["models.checkpoints.clip.path=a/b", "models.checkpoints.clip.variant=fp16"]
    assert compose(*variant).metric.terms[0].model.checkpoint == Checkpoint("a/b", None, "fp16")


def test_a_generators_revision_is_one_of_its_own_path_only(compose, tiny):
    def chosen(*overrides):
        return compose(*overrides).generator.model.checkpoint

    assert chosen() == Checkpoint(str(tiny / "sd_turbo"), None, "fp16")
    turbo = "models.generator.path=stabilityai/sd-turbo"
    pinned = chosen(turbo)
    assert re.fullmatch("[0-9a-f]{40}", pinned.revision) and pinned.path == "stabilityai/sd-turbo"
    assert chosen(turbo, "models.generator.revision=v1").revision == "v1"
    assert chosen(turbo, "models.generator.revision=null").revision is None
    assert chosen("models.generator.path=a/b", "models.generator.revision=v2") == Checkpoint("a/b", "v2", "fp16")


def test_models_that_are_closed_take_no_published_checkpoint(refusal, compose, knobs):
    names = [knob.split(".")[2] for knob in knobs if knob.startswith("models.checkpoints.")]
    given = ", ".join(name for name in names if name not in ("clip", "blip", "clip_vit_h"))
    assert refusal("models=testbed", "metric=clip_vit_h", "models.checkpoints.clip_vit_h.path=null") == (
        f"these models have no checkpoint for metric clip_vit_h: they have clip, blip, {given}; "
        "choose one of these metrics, another models, or give one with "
        "models.checkpoints.clip_vit_h.path=FOLDER"
    )
    assert compose("models=testbed", "metric=clip_vit_h").metric.name == "clip_vit_h"  # the fixture gives one


def test_a_judges_checkpoint_is_its_own_until_another_is_given(compose):
    (spec,) = compose("evaluators=[detector]", "models.checkpoints.mask2former.path=null").evaluators
    assert spec.models[0].checkpoint == Checkpoint("facebook/mask2former-swin-small-coco-instance")
    other = ["models.checkpoints.mask2former.path=a/b", "models.checkpoints.mask2former.revision=c"]
    (spec,) = compose("evaluators=[detector]", *other).evaluators
    assert spec.models[0].checkpoint == Checkpoint("a/b", "c")


# --- Revisions --------------------------------------------------------------------------------------------------------


def test_a_folder_has_no_revision(refusal, tiny):
    for knob in ("models.generator", "models.checkpoints.clip"):
        path = tiny / ("sd_turbo" if knob == "models.generator" else "clip")
        assert refusal(f"{knob}.revision=abc") == (
            f"{knob}.revision=abc means nothing for the folder {path}, as only checkpoints of the hub have revisions; "
            f"leave it out, or say {knob}.revision=null"
        )


def test_the_revision_of_a_file_of_conf_models_is_that_of_its_own_path_only(compose, own, tiny):
    ours = {"name": "mine", "generator": {"kind": "stable_diffusion", "path": "me/mine", "revision": "abc"}}
    folder = own("models", "mine", {**ours, "record": [], "evaluators": [], "batch_size": 1})
    here = compose(*folder, "models=mine").generator.model.checkpoint
    assert (here.path, here.revision) == (str(tiny / "sd_turbo"), None)  # the fixture types another path
    there = compose(*folder, "models=mine", "models.generator.path=me/mine").generator.model.checkpoint
    assert there.revision == "abc"
    typed = compose(*folder, "models=mine", "models.generator.path=a/b", "models.generator.revision=def")
    assert typed.generator.model.checkpoint.revision == "def"


@pytest.mark.parametrize(
    "words",
    [
        ["models.generator.path=a/fork", "models.generator.revision=abc"],
        ["models.generator={path: a/fork, revision: abc}"],
        ["models.generator.path=a/fork", "+models.generator.revision=abc"],
    ],
)
def test_a_typed_revision_is_used_also_where_it_is_that_of_the_file(compose, own, words):
    """A fork has the commits of its origin."""
    ours = {"name": "other", "generator": {"kind": "stable_diffusion", "path": "me/mine", "revision": "abc"}}
    folder = own("models", "mine", {**ours, "record": [], "evaluators": [], "batch_size": 1})
    chosen = compose(*folder, "models=mine", *words).generator.model.checkpoint
    assert (chosen.path, chosen.revision) == ("a/fork", "abc")


def test_only_the_chosen_file_of_models_says_whose_a_revision_is(compose, own):
    """Another file of models with the same revision does not count, and need not be readable."""
    ours = {"name": "mine", "generator": {"kind": "stable_diffusion", "path": "me/mine", "revision": "abc"}}
    folder = own("models", "mine", {**ours, "record": [], "evaluators": [], "batch_size": 1})
    theirs = {"name": "theirs", "generator": {"kind": "stable_diffusion", "path": "a/b", "revision": "abc"}}
    own("models", "theirs", {**theirs, "record": [], "evaluators": [], "batch_size": 1})
    other = compose(*folder, "models=mine", "models.generator.path=a/b").generator.model.checkpoint
    assert (other.path, other.revision) == ("a/b", None)
