"""checkpointing=auto: by the memory that is free and the memory that a rehearsal foretells, with a reason."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from reno.device.checkpointing import blocks
from reno.generators.stable_diffusion import StableDiffusion
from reno.running import execution
from reno.running.execution import activation_bytes, choices, choose_execution, worth_telling
from reno.running.fit.cards import GIB, SHARE
from reno.running.fit.prediction import Prediction, predict, predictions
from reno.running.plan import make_plan
from reno.running.pool import ModelPool
from reno.screen.fit import show_predictions
from reno.spec.job import Execution
from reno.store.store import Store

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def nothing_rehearsed(monkeypatch):
    monkeypatch.setattr(execution, "_growths", {})


@pytest.fixture
def rehearsed(monkeypatch):
    """A rehearsal takes seconds: this one says 1 GiB for each trial at once."""
    monkeypatch.setattr(execution, "rehearsed_growth", lambda plan, device_type, batch: batch * GIB)


@pytest.fixture
def large(monkeypatch):
    """Images as small as the tiny models' count as large."""
    for module in ("reno.running.execution", "reno.running.pool"):
        monkeypatch.setattr(f"{module}.worth_checkpointing", lambda size: True)


def loaded(compose, *knobs):
    plan = make_plan(compose("prompt=[a red car,a blue cup]", "record=[]", *knobs))
    return plan, ModelPool().load(plan, CPU)


def checkpointed(models) -> set[bool]:
    parts = [models.generator.unet, models.generator.vae.decoder, models.metric.terms[0].model.vision_model]
    return {"forward" in vars(block) for part in parts for block in blocks(part)}


def test_small_images_are_not_checkpointed_and_nothing_is_rehearsed_or_told(compose, monkeypatch):
    monkeypatch.setattr(execution, "rehearsed_growth", lambda *_: pytest.fail("rehearsed"))
    monkeypatch.setattr(execution, "free_bytes", lambda device: 0)
    models = choose_execution(*loaded(compose))
    assert models.execution.checkpointing is False and checkpointed(models) == {False}
    assert choices(models)[0] == "checkpointing=false: images of 64 x 64 pixels keep few activations"
    assert worth_telling(models) == []


@pytest.mark.parametrize(("batch", "many"), [("1", "one trial needs"), ("2", "2 trials side by side need")])
def test_memory_decides_for_large_images(compose, monkeypatch, large, rehearsed, batch, many):
    plan, models = loaded(compose, f"batch_size={batch}")
    assert checkpointed(models) == {True}  # as they are loaded, with the least memory
    needed = (1 + SHARE) * int(batch) * GIB
    for free, on in ((needed + 1, False), (needed - 1, True)):
        monkeypatch.setattr(execution, "free_bytes", lambda device, free=free: free)
        chosen = choose_execution(plan, models)
        assert chosen.execution.checkpointing is on and checkpointed(chosen) == {on}
        (line,) = worth_telling(chosen)
        assert line.startswith(f"checkpointing={'true' if on else 'false'}: without it {many} {needed / GIB:.1f} GiB")


def test_what_was_asked_for_is_done_without_a_reason(compose, monkeypatch, large):
    monkeypatch.setattr(execution, "free_bytes", lambda device: pytest.fail("asked"))
    for knob in ("true", "false"):
        models = choose_execution(*loaded(compose, f"checkpointing={knob}", "compile=false"))
        assert checkpointed(models) == {knob == "true"} and not models.reasons


@pytest.mark.slow
def test_one_rehearsal_says_what_three_say_and_serves_a_sweep(compose, monkeypatch):
    plan, models = loaded(compose, "batch_size=2")
    found = predict(dataclasses.replace(plan.job, execution=Execution(checkpointing=False)), "cpu")
    assert activation_bytes(plan, models, 2) == found.peak(2) - found.weight_bytes
    monkeypatch.setattr(execution, "rehearsed_growth", lambda *_: pytest.fail("rehearsed again"))
    faster = make_plan(compose("prompt=[a red car,a blue cup]", "record=[]", "lr=0.3"))
    assert activation_bytes(faster, models, 2) == activation_bytes(plan, models, 2)


def test_the_choice_is_printed_and_recorded_with_its_reason(run, tmp_path, monkeypatch, large, rehearsed, capsys):
    monkeypatch.setattr(execution, "free_bytes", lambda device: 1.2 * GIB)
    assert len(run("prompt=a red car").done) == 1
    line = "checkpointing=true: without it one trial needs 1.3 GiB beside the weights, and 1.2 GiB are free"
    assert line in capsys.readouterr().out and line in (tmp_path / "job" / "job.log").read_text()
    (trial,) = Store(tmp_path / "results")
    kept = trial.record.provenance.execution
    assert kept.checkpointing is True and kept.reasons["checkpointing"] == line.partition(": ")[2]


def test_memory_that_runs_out_without_checkpointing_is_saved_by_it(
    run, tmp_path, monkeypatch, large, rehearsed, capsys
):
    """The batch keeps its size: only if it does not fit with checkpointing either is it cut."""
    whole = StableDiffusion.__call__

    def limited(self, noise, conditioning):
        if not any("forward" in vars(block) for block in blocks(self.unet)):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, noise, conditioning)

    monkeypatch.setattr(StableDiffusion, "__call__", limited)
    assert len(run("prompt=[a red car,a blue cup]", "batch_size=2").done) == 2
    assert "out of memory with 2 side by side; going on with checkpointing" in capsys.readouterr().err
    for trial in Store(tmp_path / "results"):
        kept = trial.record.provenance
        assert kept.execution.checkpointing is True and kept.batch.size == 2
        assert kept.execution.reasons["checkpointing"] == "memory ran out without it"


@pytest.mark.slow
def test_a_prediction_of_memory_shows_both_sides_where_free_memory_decides(compose, monkeypatch, large):
    both = predictions(compose("metric=clip", "record=[]", "prompt=a red car"), "cpu")
    assert [one.execution.checkpointing for one in both] == [False, True]
    assert both[0].peak(4) > both[1].peak(4)
    asked = predictions(compose("metric=clip", "record=[]", "prompt=a red car", "checkpointing=false"), "cpu")
    assert [one.execution.checkpointing for one in asked] == [False] and asked[0].peak(4) == both[0].peak(4)


def test_each_card_is_shown_with_what_a_job_on_it_would_choose(capsys):
    """Two trials take 20 GiB of activations without checkpointing and 2 with it."""

    def foretold(on, growth):
        size = growth * GIB
        pair = np.array([GIB + 2 * size], dtype=np.int64)
        how = Execution(checkpointing=on)
        return Prediction("float16", how, (512, 512), {"unet": GIB}, GIB + size, pair, np.array([size], dtype=np.int64))

    job = SimpleNamespace(
        batch_size=2, models="large", metric=SimpleNamespace(name="clip"), settings=SimpleNamespace(method="reno")
    )
    show_predictions(job, [foretold(False, 10), foretold(True, 1)])
    lines = capsys.readouterr().out.splitlines()
    assert "512 x 512, float16, checkpointing as memory allows, batch 2" in " ".join(lines)
    assert (
        "It fits a T4 (free Colab): 4.2 of 14.56 GiB, with checkpointing, margin included." in lines
    )  # 1 + 2 + margin
    cells = {line.split("  ")[0].strip(): line.split()[-3:] for line in lines}
    assert cells["T4 (free Colab)"] == ["yes", "on", "9"]  # (14.56 - 0.6 - 1) / 1.3 = 9.97
    assert cells["A100 40 GB"] == ["yes", "off", "2"]  # (40 - 0.6 - 1) / 13 = 2.95
    show_predictions(job, [foretold(True, 1)])
    assert "with checkpointing, batch 2" in capsys.readouterr().out
    show_predictions(job, [foretold(True, 12)])  # 1 + 24 + 0.6 + 0.3 x 24
    assert "that it fits is the A100 40 GB: 32.8 of 40 GiB, margin included." in capsys.readouterr().out
    show_predictions(job, [foretold(True, 48)])
    assert "It fits no card below: it needs 126.4 GiB, margin included." in capsys.readouterr().out
