"""What a job will need: the count of live bytes, the rehearsal against what is measured, and the command."""

from __future__ import annotations

import pytest
import torch

from benchmarks.allocator import measured_peak
from reno.config.compose import composed
from reno.config.job import job_from_config
from reno.config.page import RUN
from reno.config.words import parse
from reno.memory import main
from reno.running.fit.cards import CARDS, GIB, largest_batch, margin
from reno.running.fit.live_bytes import LiveBytes
from reno.running.fit.prediction import predict
from reno.running.fit.rehearsal import META, plan_without_weights, rehearsal
from reno.running.pool import ModelPool


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
        ["metric=clip", "record=[]"],
        pytest.param(["metric=blip", "checkpointing=true"], marks=pytest.mark.slow),
        pytest.param(["metric=clip", "method=best_of_n"], marks=pytest.mark.slow),
    ],
)
def test_the_prediction_is_within_a_tenth_of_what_the_testbed_takes(knobs):
    job = job_of(*knobs, PAIR, "seed=[0,1]", "iterations=2", "threads=1", "evaluators=[]", "device=cpu")
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


@pytest.mark.slow
def test_the_largest_batch_fits_with_its_margin_and_one_more_does_not(compose):
    found = predict(compose("metric=clip", "prompt=a red car"), "cuda")
    for memory in (GIB, 1.5 * GIB):
        largest = largest_batch(found, memory, most=10**6)
        assert found.peak(largest) + margin(found, largest) <= memory
        assert found.peak(largest + 1) + margin(found, largest + 1) > memory
    assert largest_batch(found, 0.1 * GIB) == 0


@pytest.mark.slow
def test_the_command_prints_the_table(knobs, capsys):
    assert main([*knobs, "metric=clip", "dtype=float16", "batch_size=2"]) == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("weights of unet", "all tensors", "float16", "batch 2", *CARDS))


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
    ("metric", "most"), [("clip", 4.2), ("blip", 4.3), ("blip_large", 4.7), ("clip_vit_h", 6.1), ("both", 8.0)]
)
def test_published_sizes_in_float16_take_no_more_than_they_should(metric, most):
    """At 512 x 512 with checkpointing, alone, without a weight on this disk."""
    words = [f"metric={metric}"]
    if metric == "both":
        terms = [
            "{kind: clip, model: clip_vit_h, weight: 1.0}",
            "{kind: blip, model: blip_large, weight: 1.0, head: itm}",
        ]
        words = ["metric=clip", "metric.name=both", f"metric.terms=[{','.join(terms)}]"]
    found = predict(job_of("models=sd_turbo", "prompt=a red car and a blue cup", *words), "cuda")
    assert found.dtype == "float16" and found.execution.checkpointing
    assert found.weights["unet"] == 2 * 865_910_724
    assert found.peak(1) / GIB <= most
