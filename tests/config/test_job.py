"""From what a user types to a checked job: what is read, what is refused, and in which words."""

from __future__ import annotations

import copy
import dataclasses
import functools
import operator
import os
import re

import pytest
import yaml

from reno.config.compose import composed
from reno.config.conf import Chosen, Conf
from reno.config.job import job_from_config
from reno.config.page import RUN
from reno.config.prompt_sets import named_sets
from reno.config.words import parse
from reno.running.plan import make_plan
from reno.spec.errors import BadInput
from reno.spec.job import Checkpoint, Execution
from reno.tracking import TrackingSpec

CORES = os.cpu_count()


@pytest.fixture
def refusal(knobs):
    """refusal(*words): the sentence with which a job is refused before anything runs."""

    def run(*words):
        with pytest.raises(BadInput) as refused:
            parsed = parse(RUN, [*knobs, *words])
            job = job_from_config(composed(RUN, parsed), parsed.conf)
            TrackingSpec.from_knobs(job.tracking)
            make_plan(job)
        assert "\n" not in str(refused.value)
        return str(refused.value)

    return run


@pytest.fixture(scope="module")
def plain(knobs):
    """The plain values of a job; Hydra need not compose them again for every knob."""
    return composed(RUN, parse(RUN, knobs))


@pytest.fixture
def refusal_of(plain):
    """refusal_of(knob=value): the sentence with which a job of plain values with this one changed is refused."""

    def run(word):
        name, _, text = word.partition("=")
        values = copy.deepcopy(plain.values)
        *path, last = [int(key) if key.isdigit() else key for key in name.split(".")]
        functools.reduce(operator.getitem, path, values)[last] = yaml.safe_load(text)
        with pytest.raises(BadInput) as refused:
            job = job_from_config(Chosen(values, plain.references), Conf())
            TrackingSpec.from_knobs(job.tracking)
            make_plan(job)
        assert "\n" not in str(refused.value)
        return str(refused.value)

    return run


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
    assert job.execution == Execution(checkpointing=None, compile=False, channels_last=False)
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
    assert job.tracking == {"mode": "offline", "project": "lab", "entity": None, "images": True, "timeout": 30}


def test_claims_are_those_of_a_file_or_the_studys_own(own, compose, refusal):
    claim = {"key": "a", "statement": "s", "definition": "d", "parts": [{"measure": "m", "a": "x", "b": "y"}]}
    for values in ([claim], {"claims": [claim]}):
        assert compose(*own("claim_sets", "mine", values), "claims=mine").claims == (claim,)
    assert "must be a list of claims" in refusal(*own("claim_sets", "mine", {"claim": 1}), "claims=mine")
    assert compose("claims=[{key: a,statement: s,definition: d,parts: [{measure: m,a: x,b: 'y'}]}]").claims == (claim,)
    assert "must be a list of claims" in refusal("claims=[{key: a}]")


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
    mine = own("metric", "mine", {"name": "mine", "terms": [{"kind": "reno.metrics.blip", "model": "blip"}]})
    assert compose(*mine, "models=testbed", "metric=mine").metric.terms[0].options == {}


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


def test_models_that_are_closed_take_no_published_checkpoint(refusal, compose):
    assert refusal("models=testbed", "metric=clip_vit_h", "models.checkpoints.clip_vit_h.path=null") == (
        "these models have no checkpoint for metric clip_vit_h: they have clip, blip, blip_large, blip_vqa, "
        "clip_vit_l, mask2former, owlv2; choose one of these metrics, another models, or give one with "
        "models.checkpoints.clip_vit_h.path=FOLDER"
    )
    assert compose("models=testbed", "metric=clip_vit_h").metric.name == "clip_vit_h"  # the fixture gives one


def test_a_judges_checkpoint_is_its_own_until_another_is_given(compose):
    (spec,) = compose("evaluators=[detector]", "models.checkpoints.mask2former.path=null").evaluators
    assert spec.models[0].checkpoint == Checkpoint("facebook/mask2former-swin-small-coco-instance")
    other = ["models.checkpoints.mask2former.path=a/b", "models.checkpoints.mask2former.revision=c"]
    (spec,) = compose("evaluators=[detector]", *other).evaluators
    assert spec.models[0].checkpoint == Checkpoint("a/b", "c")


# --- Values that cannot be used ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("lr=0", "lr must be a number above 0, not 0"),
        ("lr=.nan", "lr must be a number above 0, not nan"),
        ("lr=.inf", "lr must be a number above 0, not inf"),
        ("lr=true", "lr must be a number above 0, not True"),
        ("lr=fast", "lr must be a number above 0, not 'fast'"),
        ("iterations=-1", "iterations must be a whole number, 0 or more, not -1; for example iterations=1"),
        ("iterations=1.5", "iterations must be a whole number, 0 or more, not 1.5; for example iterations=1"),
        ("iterations=true", "iterations must be a whole number, 0 or more, not True; for example iterations=1"),
        ("seed=-1", f"seed must be a whole number, 0 or more, less than {2**63}, not -1; for example seed=1"),
        (f"seed={2**63}",
         f"seed must be a whole number, 0 or more, less than {2**63}, not {2**63}; for example seed=1"),
        ("seed=[]", "seed=[] holds no seed; give one whole number or a list such as seed=[0,1]"),
        ("batch_size=0",
         "batch_size must be a whole number, 1 or more, less than 4097, not 0; for example batch_size=1"),
        ("batch_size=aut", "batch_size must be auto or a whole number, 1 or more, not 'aut'"),
        ("checkpointing=yess", "checkpointing must be auto, true or false, not 'yess'"),
        ("threads=0", "threads must be a whole number, 1 or more, not 0; for example threads=1"),
        (f"threads={CORES + 1}",
         f"threads={CORES + 1} is more than this machine's {CORES} CPU cores; use threads={CORES} or fewer, or "
         "threads=null for torch's own choice"),
        ("threads=1000000",
         f"threads=1000000 is more than this machine's {CORES} CPU cores; use threads={CORES} or fewer, or "
         "threads=null for torch's own choice"),
        ("regularization=-0.1", "regularization must be a number at least 0, not -0.1"),
        ("grad_clip=0", "grad_clip must be a number above 0, not 0"),
        ("dtype=float17",
         "dtype=float17 is not known; use one of auto, float32, float16, bfloat16, float64; did you mean "
         "'float16'?"),
        ("device=tpu", "device=tpu is not a device; use auto, cpu, cuda, cuda:N or mps"),
        ("device=cpu:1", "device=cpu:1 is not a device; use auto, cpu, cuda, cuda:N or mps"),
        ("device=cuda:x", "device=cuda:x is not a device; use auto, cpu, cuda, cuda:N or mps"),
        ("prompt=''", 'prompt is empty; give a text such as "a gold bench and a green clock"'),
        ("prompt=[]", "prompt=[] holds no prompt; give one text, or leave it out to use prompts"),
        ("prompt=[1]", "prompt must be a text, not 1; put it in quotes, as in prompt='\"1234\"'"),
        ("prompts=reprot",
         f"prompts=reprot is neither a prompt set ({', '.join(named_sets(Conf()))}) nor a file; did you mean "
         "'report'?"),
        ("prompts=[report]",
         "prompts must name one set or file, not ['report']; to type several prompts use prompt=[a,b]"),
        ("optimizer.betas=[0.9]", "optimizer.betas must be two numbers, not [0.9]; for example [0.9,0.999]"),
        ("optimizer.betas=[0.9,1]", "optimizer.betas must be a number at least 0 and below 1, not 1"),
        ("optimizer.eps=-1", "optimizer.eps must be a number at least 0, not -1"),
        ("optimizer.name=adma", "optimizer.name=adma is not known; use one of adam, sgd; did you mean 'adam'?"),
        ("dry_run=maybe", "dry_run must be true or false, not 'maybe'"),
        ("own_noise=2", "own_noise must be true or false, not 2"),
        ("compile=1", "compile must be true or false, not 1"),
        ("results=''", "results must be a folder, not ''; for example results=results"),
        ("results=3", "results must be a folder, not 3; for example results=results"),
        ("metric.terms.0.weight=-1", "weight of metric clip must be a number above 0, not -1"),
        ("metric.terms.0.kind=clop",
         "metric kind 'clop' is not a module; use blip, clip or the dotted path of your own "
         "module; did you mean 'clip'?"),
        ("record=[clop]",
         "record=clop is not known; use blip, blip_large, clip, clip+blip, clip_vit_h; did you mean 'clip'?"),
        ("evaluators=orcale", "evaluators=orcale is not known; use blip_vqa, detector, detector_open, oracle, "
         "oracle_analytic; did you mean 'oracle'?"),
        ("evaluators=../x",
         "evaluators=../x is not known; use blip_vqa, detector, detector_open, oracle, oracle_analytic"),
        ("claims=clip", "claims=clip is not known; use clip_vs_blip; did you mean 'clip_vs_blip'?"),
        ("models.checkpoints.clip=3", "models.checkpoints.clip must hold keys and values, not 3"),
        ("models.checkpoints.clip.path=3",
         "models.checkpoints.clip.path must be a folder or a name on the model hub, not 3"),
        ("models.reference_seconds=x", "models.reference_seconds must be a number above 0, not 'x'"),
        ("models.closed=3", "models.closed must be true or false, not 3"),
        ("metric.checkpoints=3", "metric.checkpoints must hold keys and values, not 3"),
        ("metric.terms=3", "metric.terms must list the metric's models, each with kind, model and weight, not 3"),
        ("metric.terms=[3]", "metric.terms.0 must hold keys and values, not 3"),
        ("models.generator.kind=flow",
         "generator kind 'flow' is not a module; use stable_diffusion or the dotted path of "
         "your own module"),
        ("study=[]", "study must be a text, not []"),
        ("study=''", "study must be a text, not ''"),
        ("study=true", "study must be a text, not True"),
        ("claims=[]", "claims=[] states no claim; name a file of conf/claim_sets, or leave it out"),
        ("seed=[3,1,3]", "seed has 3 twice; leave one of them out"),
        ("prompt=[a red car,a cup,a red car]", "prompt has 'a red car' twice; leave one of them out"),
        ("record=[clip,blip,clip]", "record has 'clip' twice; leave one of them out"),
        ("evaluators=[oracle,oracle]", "evaluators has 'oracle' twice; leave one of them out"),
        ("evaluators=true", "evaluators must be a text, not True"),
        ("record={}", "record must be a text, not {}"),
        ("models.name=null", "models.name must be a text, not None"),
        ("metric.name=[]", "metric.name must be a text, not []"),
        ("method.kind=[]", "method.kind must be a text, not []"),
        ("metric.terms.0.model=[]", "metric.terms.0.model must be a text, not []"),
        ("metric.terms.0.kind=null", "metric.terms.0.kind must be a text, not None"),
        ("metric.terms=[{}]", "metric.terms.0 has no kind; give it one: metric.terms.0.kind=..."),
        ("models.generator=null", "models.generator must hold keys and values, not None"),
        ("models.generator.path=null",
         "models.generator.variant=fp16 needs models.generator.path=FOLDER, or a name on the hub"),
        ("models.generator={kind: stable_diffusion,gain: .nan}",
         "models.generator.gain must be a finite number, not nan"),
        ("method={name: reno,1: x}", "method has the key 1, which is not a text; put it in quotes"),
        ("results=~nobody-here/x",
         "results=~nobody-here/x: there is no user of that name; give the folder's whole path"),
        ("tracking.mode=ofline", "tracking.mode='ofline' is not known; did you mean 'offline'?"),
    ],
)  # fmt: skip
def test_a_bad_value_gets_a_sentence(refusal_of, override, says):
    assert refusal_of(override) == says


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["models.generator.path=null", "models.generator.variant=null"],
         "generator stable_diffusion needs weights; give them with models.generator.path=FOLDER"),
        (["metric.terms.0.model=null"], "metric clip needs weights; give them with metric.terms.0.model=NAME"),
        (["metric=blip", "metric.head=foo"], "metric blip_foo: head=foo is not known; use itm or itc"),
        (["optimizer=sgd_nesterov", "optimizer.momentum=0"],
         "optimizer.nesterov=true needs optimizer.momentum > 0; for example 0.9"),
        (["optimizer=sgd_nesterov", "optimizer.momentum=1"],
         "optimizer.momentum must be a number at least 0 and below 1, not 1"),
        (["optimizer=sgd_nesterov", "optimizer.nesterov=1"], "optimizer.nesterov must be true or false, not 1"),
        (["~optimizer.eps"], "optimizer adam needs eps; give it with +optimizer.eps=..."),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_together_get_a_sentence(refusal, words, says):
    assert refusal(*words) == says


# --- Keys that nobody reads -------------------------------------------------------------------------------------------


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
    ("method.restarts=3", "method reno has no option 'restarts'; it has none"),
    (
        "tracking.projet=x",
        "tracking.projet is not a knob; tracking has mode, project, entity, images, timeout; did you mean 'project'?",
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
    assert said.startswith("models.checkpoints.clop is not a knob; models.checkpoints has blip, blip_large, ")
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


@pytest.fixture
def own(tmp_path):
    """own(group, name, values): a YAML file of a user's own folder; the words that add the folder."""

    def write(group, name, values):
        folder = tmp_path / "my conf" / group
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
        return ["-cd", str(tmp_path / "my conf")]

    return write


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
