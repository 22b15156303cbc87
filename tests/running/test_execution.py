"""How models are run: half precision, what is on the device when, memory that runs out, layouts, compiled kernels."""

from __future__ import annotations

import weakref

import pytest
import torch

from reno.device.choice import choose_dtype, why_dtype
from reno.device.residence import out_of_memory, visiting
from reno.generators.stable_diffusion import StableDiffusion
from reno.metrics import WeightedSum
from reno.metrics.blip import BlipMetric
from reno.metrics.clip import ClipMetric
from reno.running.batch import run_batch
from reno.running.plan import make_plan
from reno.running.pool import ModelPool
from reno.spec.errors import BadInput
from reno.spec.job import Execution
from reno.spec.trial import LOSS_SCALE
from reno.store.records import ExecutionRecord
from reno.store.store import Store
from reno.tracking import TrackingSpec
from reno.tracking.listener import Tracking

CPU = torch.device("cpu")
PROMPTS = ["a gold bench and a green clock", "a car"]


# --- Half precision -----------------------------------------------------------------------------------------


def chain_gradient(tiny, dtype, weight, scale):
    """d loss / d noise of CLIP + BLIP on the tiny SD-Turbo, flat, at a weight of the metric and a scale of the loss."""
    models = {"dtype": dtype, "device": CPU}
    generator = StableDiffusion(tiny / "sd_turbo", variant=None, **models)
    terms = ClipMetric(tiny / "clip", **models), BlipMetric(tiny / "blip", **models)
    metric = WeightedSum(("clip", "blip"), terms, (weight, weight))
    noise = torch.randn(2, *generator.latent_shape, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    scores = metric.total(metric(generator(noise, generator.encode(PROMPTS)), metric.encode(PROMPTS)))
    assert scores.dtype == torch.float32
    (gradient,) = torch.autograd.grad(metric.loss(scores).sum() * scale, noise)
    return gradient.flatten() / scale


@pytest.mark.slow
def test_a_half_precision_gradient_is_the_float32_one_rounded_and_survives_where_it_would_underflow(tiny):
    exact = chain_gradient(tiny, torch.float32, 1.0, 1.0)
    scale = LOSS_SCALE["float16"]

    def likeness(gradient):
        return torch.nn.functional.cosine_similarity(gradient, exact, dim=0).item()

    assert likeness(chain_gradient(tiny, torch.float16, 1.0, scale)) > 0.99
    assert likeness(chain_gradient(tiny, torch.bfloat16, 1.0, 1.0)) > 0.9
    small = 1e-5
    lost, kept = (chain_gradient(tiny, torch.float16, small, s) for s in (1.0, scale))
    assert likeness(kept) > 0.99 > likeness(lost)
    torch.testing.assert_close(kept.norm(), small * exact.norm(), rtol=0.05, atol=0)


@pytest.mark.parametrize("dtype", ["float16", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_a_job_in_half_precision_moves_float32_noise(compose, dtype):
    job = compose(f"dtype={dtype}", "prompt=[a red car,a blue cup]", "lr=0.05", "batch_size=2")
    plan = make_plan(job)
    models = ModelPool().load(plan, CPU)
    *_, done = run_batch(plan.trials, job.settings, "clip", models)
    for progress in done.trials:
        assert progress.failure is None
        assert progress.initial_noise.dtype == "float32"
        moved = abs(progress.best_noise - progress.initial_noise)
        assert progress.best == 0 or 0 < moved.max() < 0.2  # two steps of 0.05 are nothing that half rounds away
    assert plan.trials[0].identity.get("loss_scale") == LOSS_SCALE.get(dtype)


def test_the_dtype_is_chosen_for_the_device_and_says_why():
    assert [choose_dtype("auto", device) for device in ("cuda", "mps", "cpu")] == ["float16", "float32", "float32"]
    assert choose_dtype("bfloat16", "cuda") == "bfloat16"
    assert (
        "chosen for cpu" in why_dtype("auto", "float32", "cpu") and why_dtype("float32", "float32", "cpu") == "as asked"
    )


def test_a_generator_says_in_which_dtypes_it_may_run():
    allowed = ("bfloat16", "float32")
    assert [choose_dtype("auto", device, allowed) for device in ("cuda", "cpu")] == ["bfloat16", "float32"]
    assert "the first that the generator may run in" in why_dtype("auto", "bfloat16", "cuda")
    with pytest.raises(BadInput, match="use bfloat16, float32 or auto"):
        choose_dtype("float16", "cuda", allowed)


# --- What is on the device when -----------------------------------------------------------------------------


class Traveller(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.places = []

    def to(self, place):
        self.places.append(str(place))
        return self


def test_a_visitor_leaves_a_gpu_also_when_its_work_fails():
    module = Traveller()
    with pytest.raises(RuntimeError), visiting(torch.device("cuda:1"), [module]):
        assert module.places == ["cuda:1"]
        raise RuntimeError
    assert module.places == ["cuda:1", "cpu"]
    with visiting(CPU, [module]):
        pass
    assert module.places[2:] == ["cpu"]


def test_a_recorded_metric_is_scored_after_the_optimisation_without_a_graph(compose, monkeypatch):
    """In the order of events: every step of the optimised metric, then the recorded one comes, scores three images
    with no gradient asked for, and leaves."""
    job = compose("prompt=a red car", "record=[blip]")
    plan = make_plan(job)
    models = ModelPool().load(plan, CPU)
    events = []

    def telling(kind, name):
        whole = getattr(kind, name)
        graph = name == "__call__"

        def told(self, *arguments):
            events.append((kind.__name__, name, torch.is_grad_enabled()) if graph else (kind.__name__, name))
            return whole(self, *arguments)

        monkeypatch.setattr(kind, name, told)

    for kind in (BlipMetric, ClipMetric):
        for name in ("__call__", "bring", "leave", "encode"):
            telling(kind, name)
    *_, done = run_batch(plan.trials, job.settings, "clip", models)
    scoring = [("BlipMetric", "__call__", False)] * 3
    assert events == [
        ("ClipMetric", "encode"),
        *[("ClipMetric", "__call__", True)] * 2,
        ("ClipMetric", "__call__", False),
        ("BlipMetric", "bring"), ("BlipMetric", "encode"), *scoring, ("BlipMetric", "leave"),
        ("ClipMetric", "bring"),
    ]  # fmt: skip
    assert set(done.trials[0].scores["best"]) == {"clip", "blip"}


def test_a_recorded_metric_that_runs_out_of_memory_leaves_the_device_to_the_optimised_one(compose, monkeypatch):
    """The batch is run again in halves: what failed must not be in its way, and what it optimises has to be there."""
    at = {}
    for kind in (ClipMetric, BlipMetric):
        monkeypatch.setattr(kind, "bring", lambda self, name=kind.__name__: at.update({name: "device"}))
        monkeypatch.setattr(kind, "leave", lambda self, name=kind.__name__: at.update({name: "host"}))
    job = compose("prompt=a red car", "record=[clip]", "metric=blip", "iterations=0")
    plan = make_plan(job)
    models = ModelPool().load(plan, CPU)

    def fails(self, images, encoded):
        assert at["ClipMetric"] == "device"
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(ClipMetric, "__call__", fails)
    with pytest.raises(torch.OutOfMemoryError):
        list(run_batch(plan.trials, job.settings, "blip", models))
    assert at == {"ClipMetric": "host", "BlipMetric": "device"}


def test_only_what_a_job_optimises_stays_in_a_gpus_memory(compose, monkeypatch):
    """The second job of a sweep has another metric; the first one's has to leave, and so has what is recorded."""
    pool = ModelPool()
    at = {}
    for kind in (StableDiffusion, ClipMetric, BlipMetric):
        monkeypatch.setattr(kind, "bring", lambda self, name=kind.__name__: at.update({name: "device"}))
        monkeypatch.setattr(kind, "leave", lambda self, name=kind.__name__: at.update({name: "host"}))
    pool.load(make_plan(compose("metric=clip", "record=[blip]")), CPU)
    assert at == {"StableDiffusion": "device", "ClipMetric": "device", "BlipMetric": "host"}
    pool.load(make_plan(compose("metric=blip", "record=[]")), CPU)
    assert at == {"StableDiffusion": "device", "ClipMetric": "host", "BlipMetric": "device"}


# --- Memory that runs out -----------------------------------------------------------------------------------


FOUR = "prompt=[a red car,a blue cup,a pink star,a green clock]"


def fails_above(monkeypatch, most, error, after=0):
    """A generator that runs out of memory at more than `most` images, from its call number `after` on. What it held
    when it failed must be gone when it is called again."""
    whole = StableDiffusion.__call__
    calls, sizes, held = [], [], []

    def limited(self, noise, conditioning):
        calls.append(len(noise))
        assert all(tensor() is None for tensor in held), "what the failed batch held is still in memory"
        if len(noise) > most and calls.count(len(noise)) > after:
            sizes.append(len(noise))
            image = noise * 2.0
            held.append(weakref.ref(image))
            raise type(error)(*error.args)  # a new one: what is raised keeps its traceback
        return whole(self, noise, conditioning)

    monkeypatch.setattr(StableDiffusion, "__call__", limited)
    return sizes


@pytest.mark.slow
def test_out_of_memory_halves_the_batch_and_changes_no_result(run, tmp_path, monkeypatch, capsys):
    short = (FOUR, "record=[]", "iterations=1")
    run(*short, "batch_size=1")
    alone = {trial.id: trial.trace().drop(columns="seconds") for trial in Store(tmp_path / "results")}
    for number, (error, after) in enumerate((
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), 0),
        (RuntimeError("could not create a primitive"), 1),
        (MemoryError(), 0),
    )):  # fmt: skip
        results = tmp_path / f"halved {number}"
        with monkeypatch.context() as patch:
            sizes = fails_above(patch, 1, error, after)
            outcome = run(*short, "batch_size=4", f"results={results}")
        assert (len(outcome.done), outcome.failed, outcome.status) == (4, {}, 0), error
        assert sizes == [4, 2], error  # and not again for the second half
        said = capsys.readouterr().err
        assert "out of memory with 4 trials side by side; going on with 2" in said, error
        assert "out of memory with 2 trials side by side; going on with 1" in said, error
        trials = list(Store(results))
        assert {trial.id for trial in trials} == set(alone)
        for trial in trials:
            assert trial.trace().drop(columns="seconds").equals(alone[trial.id]), error
            assert trial.record.provenance.batch.size == trial.record.timings.batch_size == 1


def test_a_trial_that_does_not_fit_alone_fails_with_what_to_change(run, tmp_path, monkeypatch):
    sizes = fails_above(monkeypatch, 0, torch.OutOfMemoryError("CUDA out of memory"))
    outcome = run(FOUR, "batch_size=3")
    assert (len(outcome.failed), outcome.status, sizes) == (4, 1, [3, 2, 1, 1, 1, 1])
    assert list(Store(tmp_path / "results")) == []
    for reason in outcome.failed.values():
        assert "out of memory on cpu" in reason and "\n" not in reason
        assert "even with one trial at a time (OutOfMemoryError: CUDA out of memory); try" in reason
        assert "try checkpointing=true, dtype=bfloat16, a smaller metric" in reason


def test_a_judge_that_does_not_fit_is_among_what_to_change(run, tmp_path, monkeypatch):
    from reno.evaluators import blip_vqa

    def judge(self, images, prompts):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(blip_vqa.BlipVqa, "judge", judge)
    outcome = run("prompt=a red car", "iterations=0", "record=[]", "evaluators=blip_vqa")
    (reason,) = outcome.failed.values()
    assert "dtype=bfloat16, evaluators=[] (and reno.evaluate later), a smaller metric" in reason


def test_a_batch_that_runs_out_half_way_is_tracked_anew(run, monkeypatch):
    """The run that showed the first steps ends as failed, and the trial's run begins again."""
    told = []

    class Tracker:
        def start(self, card):
            told.append(("start", card.id, card.config["provenance"]["batch"]["size"]))

        def log(self, trial_id, iteration, values, image):
            told.append(("log", trial_id, iteration))

        def finish(self, trial_id, summary, failed=None, record=None):
            told.append(("finish", trial_id, failed))

        def close(self):
            return []

    fails_above(monkeypatch, 2, torch.OutOfMemoryError("CUDA out of memory"), after=1)
    tracking = Tracking(TrackingSpec(), make=lambda *_: Tracker())
    outcome = run(FOUR, "batch_size=4", listeners=[tracking])
    for trial_id in outcome.done:
        said = [(what, last) for what, this, last in told if this == trial_id]
        assert said == [
            ("start", 4), ("log", 0), ("finish", "its batch broke off and was begun again"),
            ("start", 2), ("log", 0), ("log", 1), ("log", 2), ("log", 2), ("finish", None),  # last: before and after
        ]  # fmt: skip


def test_other_errors_are_not_taken_for_want_of_memory():
    assert out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"))
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not out_of_memory(ValueError("out of memory"))


# --- Layouts and compiled kernels ---------------------------------------------------------------------------


def images_and_gradient(generator, execution):
    generator.run_as(execution)
    noise = torch.randn(2, *generator.latent_shape, generator=torch.Generator().manual_seed(0))
    noise = noise.to(generator.unet.dtype).requires_grad_(True)
    images = generator(noise, generator.encode(PROMPTS))
    (gradient,) = torch.autograd.grad(images.square().sum(), noise)
    return images.detach(), gradient


@pytest.mark.parametrize("checkpointing", [False, True])
def test_channels_last_changes_the_layout_and_not_the_numbers(generator, checkpointing):
    plain = images_and_gradient(generator, Execution(checkpointing))
    weights = [generator.unet.conv_in.weight, generator.vae.decoder.conv_in.weight]
    assert not any(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    laid_out = images_and_gradient(generator, Execution(checkpointing, channels_last=True))
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    again = images_and_gradient(generator, Execution(False))
    for one, two, three in zip(plain, laid_out, again, strict=True):
        torch.testing.assert_close(one, two)
        assert torch.equal(one, three)


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [False, True])
def test_compiled_kernels_make_the_same_numbers(generator, checkpointing):
    plain = images_and_gradient(generator, Execution(False))
    compiled = images_and_gradient(generator, Execution(checkpointing, compile=True))
    generator.run_as(Execution(False))
    for one, two in zip(plain, compiled, strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.slow
def test_a_job_runs_compiled(run, tmp_path):
    outcome = run("compile=true", "channels_last=true", "checkpointing=true", "batch_size=2", "prompt=[a red car]")
    assert len(outcome.done) == 1
    (trial,) = Store(tmp_path / "results")
    assert trial.record.provenance.execution == ExecutionRecord(checkpointing=True, compile=True, channels_last=True)
