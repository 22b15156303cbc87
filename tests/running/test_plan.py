"""A job's plan: its trials and their identities, batches, what is missing, and how long it will take."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import sys
import types
from pathlib import Path

import msgspec
import pytest

from reno.config.compose import composed
from reno.config.job import job_from_config
from reno.config.page import RUN
from reno.config.words import parse
from reno.running.located import LocatedGenerator, LocatedMetric, locate_generator
from reno.running.plan import cut, estimate_seconds, judged_otherwise, make_plan, missing, read_finished
from reno.spec.errors import BadInput
from reno.spec.job import Checkpoint, EvaluatorSpec, GeneratorSpec, MetricSpec, MetricTerm, NamedCheckpoint
from reno.spec.prompts import Binding, Prompt
from reno.spec.trial import digest
from reno.store.records import Labels, Timings
from reno.store.store import Store
from reno.store.stored import Damaged, Stored
from reno.weights.checkpoints import Located
from reno.weights.fetching import ToFetch
from tests.store.records import finished, record

WEIGHTS = Located("lab/x", Path("/x"), "sha256:aa", None)


def test_trials_are_in_the_order_of_the_prompts_then_of_the_seeds(compose):
    plan = make_plan(compose("seed=[1,2]", "prompt=[a red car,a blue cup]"))
    assert [(trial.prompt.text, trial.seed) for trial in plan.trials] == [
        ("a red car", 1), ("a red car", 2), ("a blue cup", 1), ("a blue cup", 2),
    ]  # fmt: skip
    assert plan.images == 3 and plan.random and plan.dtype == "float32"


def test_paths_batch_size_device_and_tracking_are_not_identity(compose, tiny, tmp_path):
    shutil.copytree(tiny / "clip", tmp_path / "elsewhere")
    other = compose(
        f"models.checkpoints.clip.path={tmp_path / 'elsewhere'}", "batch_size=3", "tracking=disabled", "results=x",
        "device=cpu", "checkpointing=true", "threads=2", "record=[]", "study=x",
    )  # fmt: skip
    assert [trial.id for trial in make_plan(compose()).trials] == [trial.id for trial in make_plan(other).trials]


@pytest.mark.parametrize(
    "word",
    ["models.checkpoints.clip.path={tiny}/clip_vit_h", "metric.terms.0.weight=2", "dtype=float64", "metric=blip"],
)
def test_other_weights_or_settings_are_another_identity(compose, tiny, word):
    one, other = (make_plan(compose(*words)).trials[0] for words in ([], [word.format(tiny=tiny)]))
    assert one.id != other.id


def test_a_metric_that_the_method_asks_is_of_the_identity_and_must_be_recorded(compose, tiny):
    words = ["method.start=2", "iterations=4", "metric=clip", "method.start_by=blip"]
    plan = make_plan(compose(*words, "record=[blip]"))
    assert [one.spec.name for one in plan.asked] == ["blip"] and plan.trials[0].method["asked"].keys() == {"blip"}
    weights = f"models.checkpoints.blip.path={tiny / 'blip_large'}"
    others = [make_plan(compose(*words, "record=[blip]", weights)), make_plan(compose(*words[:-1], "record=[blip]"))]
    assert len({plan.trials[0].id, *(other.trials[0].id for other in others)}) == 3
    with pytest.raises(
        BadInput,
        match=r"asks the metric 'blip', which is not among those of record=clip; another .* record=\[clip,NAME\]",
    ):
        make_plan(compose(*words, "record=[clip]"))
    with pytest.raises(BadInput, match="clip is the metric that is optimised, so method=reno need not ask for it"):
        make_plan(compose(*words[:-1], "method.start_by=clip"))


def test_own_noises_are_a_prompts_own_whatever_it_runs_beside(compose):
    words = ["own_noise=true", "seed=[0,1]"]
    both = make_plan(compose(*words, "prompt=[a red car,a blue cup]")).trials
    alone = make_plan(compose(*words, "prompt=[a blue cup]")).trials
    assert len({trial.seed for trial in both}) == 4
    assert both[2:] == alone
    assert [trial.seed for trial in alone] == [0xFF746831, 0x0243C2F0]  # sha256 of "0 a blue cup", its first 8 digits


# --- Identities -------------------------------------------------------------------------------------------------------


def test_a_plain_generator_is_its_weights_and_any_other_tells_kind_and_options():
    model = NamedCheckpoint("generator", Checkpoint("/x"), "models.generator")
    assert LocatedGenerator(GeneratorSpec("stable_diffusion", model), WEIGHTS).identity == "sha256:aa"
    stepped = LocatedGenerator(GeneratorSpec("stable_diffusion", model, {"timestep": 499}), WEIGHTS)
    assert stepped.identity == f"stable_diffusion:{digest({'weights': 'sha256:aa', 'options': {'timestep': 499}})}"
    own = LocatedGenerator(GeneratorSpec("lab.flow", None), None)
    assert own.identity == f"lab.flow:{digest({'weights': None, 'options': {}})}" and not own.plain


def test_a_metric_is_its_terms_with_kind_weight_weights_and_options(monkeypatch):
    for name in ("lab", "lab.sharp"):
        monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(load=print))
    spec = MetricSpec(
        "m", (MetricTerm("clip", None, 0.5), MetricTerm("lab.sharp", None, 1.0, {"head": "x", "power": 2}))
    )
    assert LocatedMetric(spec, (WEIGHTS, None)).identity == (
        {"kind": "clip", "head": None, "weight": 0.5, "weights": "sha256:aa"},
        {"kind": "lab.sharp", "head": "x", "weight": 1.0, "weights": None, "power": 2},
    )
    deciding = types.SimpleNamespace(load=print, identity=lambda options: {"power": options["power"]})
    monkeypatch.setitem(sys.modules, "lab.sharp", deciding)
    assert LocatedMetric(spec, (WEIGHTS, None)).identity[1] == (
        {"kind": "lab.sharp", "head": None, "weight": 1.0, "weights": None, "power": 2}
    )


def test_a_judge_is_its_version_kind_settings_and_weights(compose):
    (judge,) = make_plan(compose("evaluators=blip_vqa")).evaluators
    assert judge.identity["version"] == 1 and judge.identity["kind"] == "blip_vqa"
    assert judge.identity["settings"] == {"threshold": 0.5, "image_size": 480}
    assert judge.identity["weights"]["blip_vqa"].startswith("sha256:")
    spec = EvaluatorSpec("oracle", "reno.testbed.judges.oracle", {"judge": "analytic"})
    assert dataclasses.replace(judge, spec=spec, checkpoints={}).identity == {
        "version": 1, "kind": "oracle", "settings": {"judge": "analytic"}, "weights": {},
    }  # fmt: skip


def test_a_checkpoint_is_looked_for_by_its_knob_and_the_kinds_folders():
    asked = []

    def find(*what):
        asked.append(what)
        return WEIGHTS

    model = NamedCheckpoint("generator", Checkpoint("/x"), "models.generator")
    assert locate_generator(GeneratorSpec("stable_diffusion", model), find).checkpoint is WEIGHTS
    assert asked == [(Checkpoint("/x"), "models.generator", ("text_encoder", "unet", "vae"))]


def test_of_a_pipeline_is_read_what_no_other_checkpoint_gives_and_the_others_are_looked_for_first():
    asked = []

    def find(checkpoint, knob, folders):
        asked.append((checkpoint.path, knob, folders))
        return dataclasses.replace(WEIGHTS, identity=f"sha256:{checkpoint.path}")

    def part(name, path, inside=""):
        return NamedCheckpoint(name, Checkpoint(path, inside=inside), f"models.generator.parts.{name}")

    model = NamedCheckpoint("generator", Checkpoint("x"), "models.generator")
    parts = (part("unet", "u", "one.safetensors"), part("vae", "v", "inner"))
    options = {"steps": 1, "most_steps": 4, "height": None, "width": 64}
    located = locate_generator(GeneratorSpec("sdxl", model, options, parts=parts), find)
    assert asked == [
        ("u", "models.generator.parts.unet", ("one.safetensors",)),
        ("v", "models.generator.parts.vae", ("inner",)),
        ("x", "models.generator", ("text_encoder", "text_encoder_2", "unet/config.json")),
    ]
    assert [one.inside for one in located.parts.values()] == ["one.safetensors", "inner"] and not located.plain
    identity = {"weights": "sha256:x", "options": {"width": 64}, "parts": {"unet": "sha256:u", "vae": "sha256:v"}}
    assert located.identity == f"sdxl:{digest(identity)}"


def job_of(*words):
    """The job of published checkpoints."""
    read = parse(RUN, ["metric=clip", "record=[]", "evaluators=[]", "device=cpu", *words])
    return job_from_config(composed(RUN, read), read.conf)


def never(*asked):
    raise AssertionError(f"{asked} was looked for")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("sana_sprint steps=9", "models.generator.steps must be a whole number, 1 to 4, not 9"),
        ("sana_sprint height=1000", "height must be a multiple of 32, 32 to 4096 pixels, not 1000; for example 992"),
        ("flux_schnell width=1000", "width must be a multiple of 16, 16 to 4096 pixels, not 1000; for example 992"),
        ("pixart_dmd timestep=2000", "models.generator.timestep must be a whole number, 0 to 999, not 2000"),
        ("sdxl_turbo height=1000", "height must be a multiple of 32, 32 to 4096 pixels, not 1000; for example 992"),
        ("sdxl_turbo sampler=lcm timestep=9 steps=2", "models.generator.steps=2 needs sampler=euler_ancestral"),
        ("hyper_sdxl timestep=1000", "must be a whole number, 0 to 999, with sampler=lcm, not 1000"),
        (
            "hyper_sdxl sampler=null timestep=null",
            "in stabilityai/stable-diffusion-xl-base-1.0 is a Euler",
        ),
        ("dmd2_sdxl steps=2", "models.generator.steps must be 1, not 2: these weights were trained for one step"),
        ("sd_turbo timestep=1000", "models.generator.timestep must be a whole number, 0 to 999, not 1000"),
        ("sd_turbo path=stabilityai/sdxl-turbo", "stabilityai/sdxl-turbo holds a StableDiffusionXLPipeline and this"),
        ("sdxl_turbo path=black-forest-labs/FLUX.1-schnell", "holds a FluxPipeline and this generator is a Stable"),
    ],
)
def test_an_option_that_a_published_checkpoint_cannot_take_is_refused_before_anything_is_looked_for(words, said):
    models, *options = words.split()
    with pytest.raises(BadInput, match=re.escape(said)):
        make_plan(job_of(f"models={models}", *(f"models.generator.{option}" for option in options)), never)


def test_so_are_a_dtype_and_a_name_that_no_hub_can_give(monkeypatch):
    with pytest.raises(BadInput, match=r"dtype=float16 does not work with this generator; use bfloat16, float32"):
        make_plan(job_of("models=flux_schnell", "dtype=float16"), never)
    monkeypatch.setattr("reno.running.plan.locate", never)
    for words, said in (
        (["models=dmd2_sdxl"], "tianweiy/DMD2 publishes a pickle"),
        (["models=sdxl_turbo", "metric=reno"], "zai-org/ImageReward publishes a pickle"),
        (["models=sdxl_turbo", "models.checkpoints.clip.path=./nowhere"], "./nowhere is not a folder"),
    ):
        with pytest.raises(BadInput, match=re.escape(said)):
            make_plan(job_of(*words), never)


def test_with_options_that_it_takes_it_is_looked_for():
    for words in (["models=sana_sprint", "models.generator.steps=2"], ["models=pixart_dmd"], ["models=hyper_sdxl"]):
        with pytest.raises(AssertionError, match="was looked for"):
            make_plan(job_of(*words), never)


def test_what_a_dry_run_has_not_fetched_is_listed_once(compose):
    def find(checkpoint, knob, folders=("",)):
        wanted = None if knob == "models.generator" else ToFetch(knob, 1)
        return dataclasses.replace(WEIGHTS, to_fetch=wanted)

    plan = make_plan(compose("record=[clip,blip]", "evaluators=[blip_vqa]"), find)
    assert [wanted.name for wanted in plan.to_fetch] == [
        f"models.checkpoints.{name}" for name in ("clip", "blip", "blip_vqa")
    ]
    assert make_plan(compose()).to_fetch == ()


# --- Batches ----------------------------------------------------------------------------------------------------------


def test_batches_are_cut_from_the_whole_plan(compose):
    trials = make_plan(compose("seed=[1,2]", "prompt=[a red car,a blue cup,a pink star]")).trials
    assert cut(trials, 5) == [trials[:5], trials[5:]] and cut(trials, 3) == [trials[:3], trials[3:]]
    assert cut(trials, 99) == [trials] and cut([], 3) == []


def test_a_batch_is_missing_if_one_of_its_trials_is(compose):
    trials = make_plan(compose("seed=[1,2,3,4,5]", "prompt=a red car")).trials
    batches = cut(trials, 2)
    assert missing(batches, set()) == batches
    assert missing(batches, {trials[0].id, trials[1].id, trials[2].id}) == batches[1:]
    assert missing(batches, {trial.id for trial in trials}) == []


def test_what_is_stored_is_found_and_what_is_damaged_is_told_apart(compose, tmp_path):
    store = Store(tmp_path)
    store.prepare()
    trials = make_plan(compose("seed=[1,2]", "prompt=a red car")).trials
    stored = store.commit(finished(trial=trials[1]))
    store.commit(finished())
    assert read_finished(trials, store) == ({trials[1].id: stored}, [])
    data = bytearray((stored.folder / "noise.safetensors").read_bytes())
    data[-1] ^= 1
    (stored.folder / "noise.safetensors").write_bytes(data)
    finished_now, (damaged,) = read_finished(trials, store)
    assert finished_now == {} and damaged.why == "noise.safetensors is not what was written"
    assert read_finished(trials[:1], store) == ({}, [])
    record = stored.folder / "trial.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"schema": 2}))
    with pytest.raises(BadInput, match=r"another version|not what was written"):
        read_finished(trials, store)


# --- How long ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def plan(compose):
    return make_plan(compose("prompt=a red car", "iterations=9"))


def timed(plan, batch_seconds, side_by_side=1, images=10, **labels):
    """A stored trial of the plan's models and metric that took so long, alone in a batch that copies filled up."""
    one = record()
    batch = msgspec.structs.replace(one.provenance.batch, size=1, shape=side_by_side)
    provenance = msgspec.structs.replace(one.provenance, batch=batch)
    spec = msgspec.structs.replace(one.spec, generator=plan.generator.identity, metric=plan.metric.identity)
    timings = Timings(seconds=1.0, batch_seconds=batch_seconds, batch_size=1, images=images)
    known = Labels(**{"models": "m", "metric": "clip", "method": "reno", **labels})
    return Stored(
        Path("x"), msgspec.structs.replace(one, spec=spec, timings=timings, labels=known, provenance=provenance)
    )


def test_the_time_is_the_median_of_what_an_image_of_such_trials_took(plan):
    stored = [timed(plan, 20.0), timed(plan, 80.0, side_by_side=4), timed(plan, 900.0)]
    others = [timed(plan, 1e6, method="none"), Damaged("x", Path("x"), "gone")]
    other = timed(plan, 1e6)
    others += [dataclasses.replace(other, record=msgspec.structs.replace(other.record, spec=record().spec))]
    assert estimate_seconds(plan, [*others, *stored], 3) == (3 * 10 * 2.0, "from 3 stored trials")


def test_without_such_trials_the_time_is_the_models_reference_or_unknown(plan):
    assert estimate_seconds(plan, [], 2)[0] == 2 * 10 * 49.0
    unknown = dataclasses.replace(plan, job=dataclasses.replace(plan.job, reference_seconds=None))
    assert estimate_seconds(unknown, [], 2) is None


def test_stored_trials_that_were_made_for_other_bindings_are_told(plan):
    trial = plan.trials[0]
    same, other = ((Binding("red", "car"),), (Binding("blue", "car"),))
    kept = Stored(Path("x"), msgspec.structs.replace(record(trial=trial), bindings=same))
    asked = [dataclasses.replace(trial, prompt=Prompt(trial.prompt.text, bindings)) for bindings in (same, other)]
    assert judged_otherwise(asked[:1], {trial.id: kept}) is None and judged_otherwise(asked, {}) is None
    sentence = judged_otherwise(asked[1:], {trial.id: kept})
    assert sentence.startswith(
        "1 of the stored trials, such as 'a red car', were made for other bindings and are judged"
    )
