"""What a job will need: the count of live bytes, the rehearsal against what is measured, and the command."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.allocator import measured_peak
from reno.config.compose import composed
from reno.config.job import job_from_config
from reno.config.page import RUN
from reno.config.words import parse
from reno.memory import main
from reno.running.fit.cards import CARDS, CONTEXT, GIB, SHARE, largest_batch, needed, seconds_on_a_t4
from reno.running.fit.live_bytes import LiveBytes
from reno.running.fit.prediction import Judging, Prediction, _modules, predict, predict_judging
from reno.running.fit.rehearsal import META, plan_without_weights, rehearsal
from reno.running.pool import ModelPool
from reno.spec.job import Execution


def job_of(*knobs):
    words = parse(RUN, knobs)
    return job_from_config(composed(RUN, words), words.conf)


PAIR = "prompt=[a red car and a blue cup,a gold bench and a green clock]"


def test_a_storage_counts_once_and_until_nothing_holds_it():
    with LiveBytes("cpu") as live:
        live.restart()
        a = torch.zeros(1000)
        assert live.now == 4000
        view = a[10:20].reshape(5, 2)
        assert live.now == 4000  # of the same storage
        del a
        assert live.now == 4000
        del view
        assert live.now == 0
        x = torch.ones(500, requires_grad=True)
        y = x.exp()  # autograd keeps the result
        z = y.sum()
        del y
        assert live.now == 2000 + 2000 + 4
        (gradient,) = torch.autograd.grad(z, x)
        assert live.now == 2000 + 4 + gradient.untyped_storage().nbytes()
    assert max(live.timeline) >= 6000


@pytest.mark.parametrize(
    "knobs",
    [
        ["metric=clip", "record=[]", "iterations=1"],
        pytest.param(["metric=clip", "record=[]", "iterations=2"], marks=pytest.mark.slow),
        pytest.param(["metric=blip", "iterations=2", "checkpointing=true"], marks=pytest.mark.slow),
        pytest.param(["metric=clip", "iterations=2", "method=best_of_n"], marks=pytest.mark.slow),
    ],
)
def test_the_prediction_is_within_a_tenth_of_what_the_testbed_takes(knobs):
    job = job_of(*knobs, PAIR, "seed=[0,1]", "threads=1", "evaluators=[]", "device=cpu")
    predicted = predict(job, "cpu").peak(len(job.prompts) * len(job.seeds))
    assert predicted == pytest.approx(measured_peak(job), rel=0.1)


@pytest.mark.slow
def test_any_batch_is_known_from_the_first_three(compose, monkeypatch):
    """A batch of seven rehearsed is what a batch of two and a batch of three say of it."""
    from reno.running.fit import prediction

    job = compose("metric=clip+blip", "prompt=a red car")
    expected = predict(job, "cpu")
    at_once = prediction._timeline
    monkeypatch.setattr(prediction, "_timeline", lambda plan, models, live, batch: at_once(plan, models, live, 7))
    assert predict(job, "cpu").alone == expected.peak(7)
    assert expected.peak(1) < expected.peak(2) < expected.peak(3)


@pytest.mark.slow
def test_checkpointed_blocks_are_rehearsed_as_they_run(compose):
    """They run again in the backward pass, where a mode of torch is not active."""
    found = predict(compose("metric=clip", "record=[]", "prompt=a red car", "checkpointing=true"), "cpu")
    assert found.execution.checkpointing and found.peak(4) > found.weight_bytes


@pytest.mark.slow
def test_checkpointing_takes_less(compose):
    words = ("metric=clip", "record=[]", "prompt=a red car")
    plain, checkpointed = (predict(compose(*words, f"checkpointing={on}"), "cpu") for on in ("false", "true"))
    assert checkpointed.peak(4) < plain.peak(4)


@pytest.mark.slow
def test_a_gpu_holds_what_the_loop_runs_and_the_cpu_everything(compose):
    job = compose("metric=clip", "record=[blip]", "dtype=float32")
    everything, resident = predict(job, "cpu").weights, predict(job, "cuda").weights
    assert {"text_encoder", "unet", "vae", "clip", "blip"} == set(everything)
    assert {"unet", "vae"} <= set(resident) and not {"text_encoder", "blip"} & set(resident)
    assert resident["unet"] == everything["unet"] and resident["clip"] < everything["clip"]


def test_no_part_that_only_reads_or_is_only_recorded_waits_on_a_gpu(compose, tmp_path):
    """Of the metrics, before the first optimisation: what looks at images for the one that is optimised."""
    plan = plan_without_weights(compose("metric=clip", "record=[clip_vit_h]", "dtype=float32"), "cuda", tmp_path)
    with rehearsal("cuda"):
        models = ModelPool().load(plan, META)
        optimised, recorded = models.metric.terms[0].model, models.recorded["clip_vit_h"].terms[0].model
        there = [
            {name.split(".")[0] for name, weight in model.named_parameters() if weight.is_meta}
            for model in (optimised, recorded)
        ]
        assert there == [{"vision_model", "visual_projection"}, set()]


@pytest.mark.parametrize("name", ["blip_vqa", "detector", "detector_open", "detector_spatial"])
def test_a_judges_weights_are_on_a_gpu_only_while_it_judges(compose, tmp_path, name):
    plan = plan_without_weights(compose(f"evaluators={name}", "record=[]"), "cuda", tmp_path)

    def on_the_gpu() -> set[str]:
        return {type(part).__name__ for part in modules if any(weight.is_meta for weight in part.parameters())}

    with rehearsal("cuda"):
        judge = ModelPool().evaluator(plan.evaluators[0], META)
        modules = [module for _, module in _modules(judge)]
        assert modules and not on_the_gpu()
        with judge.on_device():
            assert on_the_gpu()
        assert not on_the_gpu()
        with pytest.raises(KeyError), judge.on_device():
            raise KeyError
        assert not on_the_gpu()


@pytest.mark.slow
def test_the_largest_batch_fits_with_its_margin_and_one_more_does_not(compose):
    found = predict(compose("metric=clip", "prompt=a red car"), "cuda")
    for memory in (GIB, 1.5 * GIB):
        largest = largest_batch(found, memory, most=10**6)
        assert needed(found, largest) <= memory < needed(found, largest + 1)
    assert largest_batch(found, 0.1 * GIB) == 0


@pytest.mark.slow
def test_the_command_prints_the_table(knobs, capsys):
    assert main([*knobs, "metric=clip", "dtype=float16", "batch_size=2", "evaluators=[blip_vqa]"]) == 0
    printed = capsys.readouterr().out
    words = ("weights of unet", "all tensors", "float16", "batch 2", "judge", "blip_vqa", "evaluators=[] turns", *CARDS)
    assert all(word in printed for word in words)


JUDGES = "evaluators=[blip_vqa,detector_open]"


@pytest.mark.slow
def test_judges_are_a_phase_of_their_own_on_a_gpu_and_always_there_on_the_cpu(compose):
    words = ("metric=clip", "record=[]", "prompt=a red car and a blue cup", "dtype=float32")
    bare = predict(compose(*words), "cuda")
    judged = predict(compose(*words, JUDGES), "cuda")
    assert judged.weights == bare.weights
    assert judged.alone - bare.alone < 100  # bytes: nothing of a judge while noise is optimised but a scalar of CLIP's
    assert [judge.name for judge in judged.judging] == ["blip_vqa", "detector_open"] and not judged.unknown
    for judge in judged.judging:
        assert judge.alone > judged.weight_bytes and judge.flops > 0
    (_, loop), *phases = judged.phases(1)
    assert [weights - loop for _, weights in phases] == [judge.weights for judge in judged.judging]
    on_cpu = predict(compose(*words, JUDGES), "cpu")
    assert {"blip_vqa", "detector_open"} <= set(on_cpu.weights)
    assert [weights for _, weights in on_cpu.phases(1)] == [on_cpu.weight_bytes] * 3


def test_the_peak_is_the_larger_of_the_two_phases():
    """Hand-worked: 10 bytes of weights; the loop takes 30, then 40, 50, ... bytes; the judge 45 and 60."""
    judge = Judging("judge", weights=25, alone=45, side_by_side=60, flops=0)
    pair, another = np.array([40]), np.array([10])
    found = Prediction("float32", Execution(), (64, 64), {"unet": 10}, 30, pair, another, (judge,))
    assert [found.peak(batch) for batch in (1, 2, 4, 5)] == [45, 60, 60, 70]
    assert found.phases(2) == [(40, 10), (60, 35)]
    assert needed(found, 2) == 60 + CONTEXT + int(SHARE * 25)
    assert needed(found, 5) == 70 + CONTEXT + int(SHARE * 60)


@pytest.mark.slow
def test_a_judge_of_the_users_that_needs_values_is_named_and_the_rest_predicted(compose, monkeypatch):
    from reno.evaluators import blip_vqa

    def judge(self, images, prompts):
        raise RuntimeError("there are no values")

    monkeypatch.setattr(blip_vqa.BlipVqa, "judge", judge)
    found = predict(compose("record=[]", "prompt=a red car", JUDGES), "cuda")
    assert "there are no values" in found.unknown["blip_vqa"]
    assert [judge.name for judge in found.judging] == ["detector_open"]


def test_a_t4s_seconds_are_its_operations_by_its_rate():
    assert seconds_on_a_t4(0.29 * 8.1e12, "float32") == pytest.approx(1.0)
    assert seconds_on_a_t4(0.29 * 65e12, "float16") == pytest.approx(1.0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_needs_that_the_judges_files_say_are_those_predicted():
    """Of the published sizes, at SD-Turbo's 512 x 512, with a prompt of two bindings."""
    job = job_of("models=sd_turbo", "prompt=a red car and a blue cup")
    judging, unknown = predict_judging(job.evaluators, job.prompts, (512, 512), "cuda")
    assert not unknown and len(judging) == len(job.evaluators) == 2
    for spec, found in zip(job.evaluators, judging, strict=True):
        assert spec.needs.gb == pytest.approx(found.weights / 1e9, abs=0.01)
        assert spec.needs.gib == pytest.approx(found.side_by_side / GIB, abs=0.06)
        assert spec.needs.tflop == pytest.approx(found.flops / 1e12, abs=0.06)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["metric=clop"], "metric=clop is not known"),
        (["-m", "metric=clip,blip"], "leave out -m"),
        (["models=sd_turbo", "models.generator.path=someone/model"], "architecture is not known"),
        (["models=sd_turbo", "models.generator.path=./nowhere"], "is not a folder"),
    ],
)
def test_what_cannot_be_predicted_gets_one_sentence(words, sentence, capsys):
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ") and sentence in said.err and said.err.count("\n") == 1 and not said.out


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("metric", "most"),
    [
        ("clip", 4.2),
        ("blip", 4.3),
        ("blip_large", 4.7),
        ("clip_vit_h", 6.1),
        ("both", 8.0),
        ("clip_vit_l", 3.9),
        ("pickscore", 6.1),
        ("siglip2", 3.8),
        ("hpsv2", 6.1),
        ("imagereward", 4.7),
        ("aesthetic", 3.9),
        ("blip2_itm", 7.0),
        ("reno", 8.0),
    ],
)
def test_published_sizes_in_float16_take_no_more_than_they_should(metric, most):
    """At 512 x 512 with checkpointing, alone, without a weight on this disk."""
    words = [f"metric={metric}", "evaluators=[]"]
    if metric == "both":
        terms = [
            "{kind: clip, model: clip_vit_h, weight: 1.0}",
            "{kind: blip, model: blip_large, weight: 1.0, head: itm}",
        ]
        words[:1] = ["metric=clip", "metric.name=both", f"metric.terms=[{','.join(terms)}]"]
    found = predict(job_of("models=sd_turbo", "prompt=a red car and a blue cup", *words), "cuda")
    assert found.dtype == "float16" and found.execution.checkpointing
    assert found.weights["unet"] == 2 * 865_910_724
    assert found.peak(1) / GIB <= most
