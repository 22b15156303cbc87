"""The job on tiny models: batches, resuming, killing, failing, tracking, reproducing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from reno import job as jobs
from reno import reproduce as again
from reno.batch import run_batch
from reno.job import run_job
from reno.models import load_models
from reno.plan import make_plan
from reno.results import Store
from reno.run import main

ROOT = Path(__file__).resolve().parent.parent
PROMPTS = "prompt=[a red car,a blue cup and a pink star,a gold bench and a green clock]"


@pytest.fixture
def run(compose, tmp_path):
    """run(*overrides): runs the job under tmp_path/results without tracking, and answers with its outcome."""

    def go(*overrides, folder="job", tracking="disabled"):
        job = compose(f"results={tmp_path / 'results'}", f"tracking={tracking}", *overrides)
        return run_job(job, tmp_path / folder, group="test")

    return go


def stored(tmp_path):
    return {trial.id: trial for trial in Store(tmp_path / "results")}


def without_times(trial):
    return trial.trace().drop(columns="seconds")


def test_a_batch_of_eight_gives_each_trial_the_trace_it_has_alone_in_any_order(compose):
    """In float64, where only an influence of one trial on another could make a difference of this size."""
    job = compose(
        "dtype=float64", "seed=[0,1,2,3]", "prompt=[a red car,a blue cup and a pink star]", "lr=0.05", "iterations=4"
    )
    plan = make_plan(job)
    models = load_models(plan, torch.device("cpu"))

    def traces(trials):
        *_, done = run_batch(trials, job.settings, "clip", models)
        rows = [[list(row.values())[:-1] for row in progress.trace] for progress in done.trials]
        return {p.trial.id: np.array(row, dtype=float) for p, row in zip(done.trials, rows, strict=True)}

    together, reordered = traces(plan.trials), traces(plan.trials[::-1])
    assert len(together) == 8
    for trial in plan.trials:
        alone = traces([trial])[trial.id]
        np.testing.assert_allclose(together[trial.id], alone, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(reordered[trial.id], alone, rtol=1e-8, atol=1e-8)


def test_everything_of_a_trial_is_stored(run, tmp_path):
    outcome = run(PROMPTS, "lr=0.05", "iterations=5")
    assert (outcome.status, len(outcome.done), outcome.failed) == (0, 3, {})
    for trial in stored(tmp_path).values():
        record, trace = trial.record, trial.trace()
        assert trace["iteration"].tolist() == list(range(6))
        assert len(trial.frames()) == 6
        np.testing.assert_allclose(trace["loss"], 100 - trace["score"])
        assert trace["grad_norm"][:5].gt(0).all() and np.isnan(trace["grad_norm"][5])
        assert record["best_iteration"] == int(trace["score"].argmax())
        assert (
            record["scores"]["best"]["clip"]
            == trace["score"].max()
            > trace["score"][0]
            == record["scores"]["initial"]["clip"]
        )
        assert set(record["scores"]["last"]) == {"clip", "blip"}
        noise = trial.noise()
        np.testing.assert_allclose(np.linalg.norm(noise["initial"]), trace["noise_norm"][0], rtol=1e-6)
        assert record["provenance"]["threads"] == 1
        assert record["provenance"]["versions"]["torch"] == torch.__version__
        assert record["timings"]["batch_seconds"] == pytest.approx(trace["seconds"].sum())
    summary = json.loads((tmp_path / "job" / "job.json").read_text())
    assert [entry["state"] for entry in summary["trials"]] == ["done"] * 3
    for entry in summary["trials"]:  # what the trials share and each one's own are together its identity
        assert {**summary["spec"], "prompt": entry["prompt"], "seed": entry["seed"]} == stored(tmp_path)[
            entry["id"]
        ].record["spec"]
    assert (tmp_path / "job" / "contact_sheet.png").stat().st_size > 1000


def test_the_noise_is_the_seeds_for_every_metric_batch_and_method(run, tmp_path):
    run("prompt=a red car", "seed=7", "batch_size=1")
    run("prompt=[a blue cup,a red car]", "seed=[3,7]", "metric=blip", "method=best_of_n", "batch_size=4")
    expected = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(7)).numpy()
    sevens = [trial for trial in stored(tmp_path).values() if trial.record["spec"]["seed"] == 7]
    assert len(sevens) == 3
    for trial in sevens:
        np.testing.assert_array_equal(trial.noise()["initial"], expected)


def test_the_same_command_again_does_nothing(run, tmp_path, capsys, monkeypatch):
    run(PROMPTS)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "results" / "trials").rglob("*")}
    capsys.readouterr()
    monkeypatch.setattr(jobs, "_load", lambda plan: pytest.fail("the models were loaded for nothing"))
    outcome = run(PROMPTS, folder="again")
    assert (len(outcome.done), len(outcome.skipped), outcome.status) == (0, 3, 0)
    assert "nothing to do" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "results" / "trials").rglob("*")} == before


def test_a_resumed_trial_runs_in_its_batch_and_makes_the_same_numbers(run, tmp_path):
    import shutil

    run(PROMPTS, "batch_size=3", "iterations=4")
    first = {trial_id: without_times(trial) for trial_id, trial in stored(tmp_path).items()}
    victim = sorted(first)[1]
    shutil.rmtree(tmp_path / "results" / "trials" / victim)
    outcome = run(PROMPTS, "batch_size=3", "iterations=4", folder="again")
    assert outcome.done == [victim]
    assert without_times(stored(tmp_path)[victim]).equals(first[victim])


def test_a_dry_run_writes_nothing(run, tmp_path, capsys):
    outcome = run(PROMPTS, "dry_run=true")
    assert outcome.status == 0
    assert not (tmp_path / "results").exists()
    assert "3 to do" in capsys.readouterr().out


def test_one_failing_trial_does_not_stop_the_others(run, tmp_path, monkeypatch, capsys):
    from reno.methods import reno

    def stopping(gradient, first):
        return {1} if first else set()

    monkeypatch.setattr(reno, "_stopping", stopping)
    outcome = run(PROMPTS, "batch_size=3")
    assert outcome.status == 1
    assert (len(outcome.done), len(outcome.failed)) == (2, 1)
    assert "failed: a blue cup and a pink star" in capsys.readouterr().err
    assert len(stored(tmp_path)) == 2


def test_a_batch_that_breaks_does_not_stop_the_next(run, tmp_path, monkeypatch):
    from reno import batch

    whole = batch._judge
    calls = []

    def breaking(trials, models):
        calls.append(trials)
        if len(calls) == 1:
            raise RuntimeError("out of something\nand more")
        whole(trials, models)

    monkeypatch.setattr(batch, "_judge", breaking)
    outcome = run(PROMPTS, "batch_size=2")
    assert (len(outcome.done), len(outcome.failed)) == (1, 2)
    assert set(outcome.failed.values()) == {"RuntimeError: out of something"}


def test_a_trial_that_cannot_be_stored_fails_and_says_why(run, monkeypatch):
    def full(self, finished):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "commit", full)
    outcome = run("prompt=a red car")
    assert outcome.status == 1
    assert "No space left" in next(iter(outcome.failed.values()))


def test_commits_go_on_beside_the_next_batches_and_never_many_behind(run, tmp_path, monkeypatch):
    """Storing is slower than optimising here: the second commit ends only once two more batches have begun."""
    from reno import batch

    monkeypatch.setattr(jobs, "PENDING_COMMITS", 2)
    whole_batch, whole_commit = batch.run_batch, Store.commit
    begun, stored_when = [], []

    def beginning(*arguments):
        begun.append(arguments)
        yield from whole_batch(*arguments)

    def slow(self, finished):
        deadline = time.monotonic() + 60
        while len(begun) < min(len(stored_when) + 3, 6) and time.monotonic() < deadline:
            time.sleep(0.01)
        stored_when.append(len(begun))
        whole_commit(self, finished)

    monkeypatch.setattr(batch, "run_batch", beginning)
    monkeypatch.setattr(Store, "commit", slow)
    outcome = run(PROMPTS, "seed=[0,1]", "batch_size=1")
    assert len(outcome.done) == len(stored(tmp_path)) == 6
    assert stored_when == [3, 4, 5, 6, 6, 6]


def test_a_terminated_job_stores_what_is_finished(run, tmp_path, monkeypatch):
    from reno import batch

    whole = batch.run_batch
    begun = []

    def terminated(*arguments):
        begun.append(arguments)
        if len(begun) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        yield from whole(*arguments)

    monkeypatch.setattr(batch, "run_batch", terminated)
    before = signal.getsignal(signal.SIGTERM)
    outcome = run(PROMPTS, "batch_size=1")
    assert (outcome.status, len(stored(tmp_path))) == (130, 2)
    assert signal.getsignal(signal.SIGTERM) is before


def test_judgements_are_of_the_images_that_are_stored(run, tmp_path, monkeypatch):
    from reno import models
    from reno.evaluators import Judgement, Verdict
    from reno.images import to_uint8

    seen = []

    class Judge:
        name, kin = "stub", "none"

        def judge(self, images, prompts):
            seen.extend(to_uint8(images))
            judged = [
                Judgement(b.attribute, b.object, True, True, bool(seen), 1.0, 1.0, 1.0) for b in prompts[0].bindings
            ]
            return [Verdict(tuple(judged), {"swapped": False}) for _ in prompts]

    real = models.load_models

    def with_judge(plan, device):
        import dataclasses

        return dataclasses.replace(real(plan, device), evaluators=(Judge(),))

    monkeypatch.setattr(models, "load_models", with_judge)
    run("prompt=a red car and a blue cup")
    (trial,) = stored(tmp_path).values()
    np.testing.assert_array_equal(seen[0], trial.image("initial"))
    np.testing.assert_array_equal(seen[1], trial.image("best"))
    assert trial.record["judgements"]["stub"]["best"]["judgements"][1]["object"] == "cup"
    assert jobs.summary_values(trial.record)["stub/all_bound/best"] is True


def test_a_trial_is_reproduced_to_the_last_bit_with_its_batch(run, tmp_path, monkeypatch):
    run(PROMPTS, "batch_size=3", "lr=0.05", "iterations=4", "metric=clip+blip")
    for trial in stored(tmp_path).values():
        comparison = again.reproduce(trial)
        assert comparison.identical and comparison.surroundings == []
    victim = next(iter(stored(tmp_path).values()))
    monkeypatch.setattr("reno.methods.reno.noise_regularizer_gradient", lambda noise: noise)
    monkeypatch.setattr("reno.methods.reno.clip_by_trial", lambda gradient, norm, limit: gradient.flip(1))
    monkeypatch.setitem(victim.record["provenance"]["versions"], "torch", "0.1")
    comparison = again.reproduce(victim)
    assert not comparison.identical
    assert comparison.columns["score"] > 0 and comparison.noise > 0
    assert any("torch 0.1 then" in line for line in comparison.surroundings)


def test_a_changed_checkpoint_is_not_taken_for_the_old_one(run, tmp_path, tiny):
    import shutil

    from reno.errors import BadInput

    shutil.copytree(tiny / "clip", tmp_path / "clip")
    run("prompt=a red car", f"models.checkpoints.clip.path={tmp_path / 'clip'}")
    shutil.rmtree(tmp_path / "clip")
    shutil.copytree(tiny / "clip_vit_h", tmp_path / "clip")
    (trial,) = stored(tmp_path).values()
    with pytest.raises(BadInput, match="other weights"):
        again.reproduce(trial)


def test_tracking_is_made_up_for_where_it_was_lost(run, tmp_path):
    from reno.tracking import logged

    run("prompt=a red car")
    (trial,) = stored(tmp_path).values()
    assert not logged(tmp_path / "results", trial.id)
    run("prompt=a red car", folder="again", tracking="offline")
    assert logged(tmp_path / "results", trial.id)


def test_killed_at_any_moment_and_run_again_it_completes_with_the_same_numbers(knobs, tmp_path, capsys):
    """SIGKILL as soon as one trial is there, and again at three, then to the end; against one uninterrupted run."""
    words = [*knobs, "tracking=disabled", PROMPTS, "seed=[0,1]", "batch_size=1", "iterations=25"]
    assert main([*words, f"results={tmp_path / 'whole'}"]) == 0
    words.append(f"results={tmp_path / 'results'}")
    kills = 0
    for wanted in (1, 3):
        process = subprocess.Popen([sys.executable, "-m", "reno.run", *words], cwd=ROOT, stdout=subprocess.DEVNULL)
        trials = tmp_path / "results" / "trials"
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if trials.is_dir() and len(list(trials.iterdir())) >= wanted:
                break
            time.sleep(0.002)
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert kills == 2
    capsys.readouterr()
    assert main(words) == 0
    assert int(re.search(r"(\d+) stored before", capsys.readouterr().out)[1]) >= 3
    whole = {trial.id: trial for trial in Store(tmp_path / "whole")}
    resumed = {trial.id: trial for trial in Store(tmp_path / "results")}
    assert set(whole) == set(resumed) and len(whole) == 6
    for trial_id, trial in whole.items():
        assert resumed[trial_id].damage() is None
        assert without_times(resumed[trial_id]).equals(without_times(trial))
    assert list((tmp_path / "results" / "staging").iterdir()) == []
