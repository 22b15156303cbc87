"""A whole batch with the device ahead of the host: the true modules on a tape in place of a CUDA graph."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from msgspec import UNSET

from reno.device.graphs import NotCaptured
from reno.device.reading import Reader
from reno.methods._ahead import Ahead
from reno.running import batch as batches
from reno.running import execution
from reno.running.batch import run_batch
from reno.running.execution import choices, choose_execution, why_not_captured
from reno.running.plan import make_plan
from reno.running.pool import ModelPool
from reno.spec.errors import BadInput
from reno.spec.job import Execution, Stop
from reno.store.store import Store
from tests.device.tape import record_tape

CPU = torch.device("cpu")
READ = Reader(CPU).begin
TWO = "prompt=[a red car,a blue cup]"
NEVER = Stop()
LAUNCHED = Ahead(READ)
"""Kernel by kernel, with the plain loop's optimiser: the same bits."""
REPLAYED = Ahead(READ, record_tape, fused=True)
"""On a tape, with the fused optimiser that a graph needs: the same bits as of these kernels launched one by one."""


@pytest.fixture(scope="module")
def pool():
    return ModelPool()


def ran(job, pool, monkeypatch, way, stop=NEVER):
    plan = make_plan(job)
    models = pool.load(plan, CPU)
    monkeypatch.setattr(batches, "_ahead", lambda device, graph: way)
    settings = dataclasses.replace(job.settings, stop=stop)
    *_, done = run_batch(plan.trials, settings, job.metric.name, models)
    return done.trials


def numbers(progress):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in progress.trace]


@pytest.mark.parametrize("metric", ["clip", pytest.param("clip+blip", marks=pytest.mark.slow)])
def test_images_and_numbers_are_those_of_the_plain_loop(compose, pool, monkeypatch, metric):
    words = ("iterations=5", "lr=0.05", "regularization=0.01", "grad_clip=0.1", "record=[]")
    job = compose(TWO, f"metric={metric}", *words)
    plain, launched, replayed = (ran(job, pool, monkeypatch, way) for way in (None, LAUNCHED, REPLAYED))
    # transformers looks at a mask only where nothing is captured, and rounds differently without it
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    same_kernels = ran(job, pool, monkeypatch, Ahead(READ, fused=True))
    for ours, theirs in (*zip(launched, plain, strict=True), *zip(replayed, same_kernels, strict=True)):
        assert numbers(ours) == numbers(theirs) and ours.best == theirs.best
        assert len(ours.frames) == 6 and all(map(np.array_equal, ours.frames, theirs.frames))
        assert np.array_equal(ours.best_noise, theirs.best_noise)
        assert np.array_equal(ours.initial_noise, theirs.initial_noise)
    for ours, theirs in zip(replayed, plain, strict=True):
        scores = [[row["score"] for row in progress.trace] for progress in (ours, theirs)]
        assert scores[0] == pytest.approx(scores[1], rel=1e-3)
        np.testing.assert_allclose(ours.best_noise, theirs.best_noise, atol=1e-3)


@pytest.mark.slow
def test_a_trial_that_stops_early_stops_at_the_same_image(compose, pool, monkeypatch):
    job = compose(TWO, "iterations=8", "lr=0.05", "record=[blip]")
    plain = ran(job, pool, monkeypatch, None)
    third = sorted(row["score"] for row in plain[0].trace[1:6])[2]
    stop = Stop(score=third)
    theirs, ours = ran(job, pool, monkeypatch, None, stop), ran(job, pool, monkeypatch, LAUNCHED, stop)
    assert theirs[0].stopped == "score"
    for one, other in zip(ours, theirs, strict=True):
        assert (one.stopped, numbers(one), one.scores) == (other.stopped, numbers(other), other.scores)


# --- compile=auto -------------------------------------------------------------------------------------------


@pytest.fixture
def on_a_gpu(monkeypatch):
    """why(*overrides): why an iteration of a job on a CUDA GPU is not captured; None if it is."""

    def why(compose, pool, *overrides, **execution_of):
        plan = make_plan(compose(TWO, "record=[]", *overrides))
        models = pool.load(plan, CPU)
        how = Execution(**{"checkpointing": False, **execution_of})
        with monkeypatch.context() as patch:
            patch.setattr(models.generator, "device", torch.device("cuda"))
            return why_not_captured(plan, models, how) or execution._too_few(plan)

    return why


def test_an_iteration_is_captured_where_it_can_be_and_pays(compose, pool, on_a_gpu, monkeypatch):
    fifty = "iterations=50"
    assert on_a_gpu(compose, pool, fifty) is None
    assert on_a_gpu(compose, pool, fifty, "metric=blip", "method=gper", "method.start=4") is None
    assert "9 iterations do not pay" in on_a_gpu(compose, pool, "iterations=9")
    assert "blocks run again" in on_a_gpu(compose, pool, fifty, checkpointing=True)
    for method in ("mpgr", "dno", "best_of_n", "halving", "ses"):
        assert f"method={method} are not all the same" in on_a_gpu(compose, pool, fifty, f"method={method}")
    for part, name in (
        ("generators.stable_diffusion.StableDiffusion", "generator"),
        ("metrics.clip.ClipMetric", "metric"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"reno.{part}.static", False)
            assert f"the {name} " in on_a_gpu(compose, pool, fifty)


def test_the_cpu_says_why_it_captures_nothing(compose, pool):
    plan = make_plan(compose(TWO, "iterations=50", "record=[]"))
    models = choose_execution(plan, pool.load(plan, CPU))
    assert not models.execution.graph and models.execution.compile is False
    assert "compile=false: a CUDA graph needs a CUDA GPU, and this is cpu" in choices(models)
    for knob, compiled in (("true", True), ("false", False)):
        plan = make_plan(compose(TWO, f"compile={knob}", "record=[]"))
        assert plan.job.execution.compile is compiled and not plan.job.execution.graph
    plan = make_plan(compose(TWO, "compile=graph", "record=[]"))
    with pytest.raises(BadInput, match="compile=graph cannot be: a CUDA graph needs a CUDA GPU"):
        choose_execution(plan, pool.load(plan, CPU))


def test_a_job_whose_capture_fails_goes_on_without_a_graph(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(execution, "why_not_captured", lambda *_: None)

    def refuses(advance, state):
        raise NotCaptured("the iteration cannot be captured as a CUDA graph: no reason")

    tried = []

    def ahead(device, graph):
        tried.append(graph)
        return Ahead(READ, refuses if graph else None)

    monkeypatch.setattr(batches, "_ahead", ahead)
    assert len(run(TWO, "iterations=10", "record=[]").done) == 2
    assert tried == [True, False, False]
    assert "as a CUDA graph: no reason; going on without a graph" in capsys.readouterr().err
    for trial in Store(tmp_path / "results"):
        kept = trial.record.provenance.execution
        assert kept.graph is UNSET and "cannot be captured" in kept.reasons["compile"]
