"""A trial that runs again, after a kill, beside others or in another process makes the same numbers."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from msgspec import UNSET

from reno.run import main
from reno.running.plan import make_plan
from reno.running.reproducing import reproduce
from reno.spec.errors import BadInput
from reno.store.store import Store, Stored
from tests.running.jobs import PROMPTS, stored, without_times

ROOT = Path(__file__).resolve().parent.parent.parent


def test_a_trial_is_reproduced_to_the_last_bit_with_its_batch(run, tmp_path, pool, monkeypatch):
    """Two run side by side; the third beside a copy of itself."""
    run(PROMPTS, "batch_size=2", "lr=0.05", "iterations=4", "metric=clip+blip")
    batches = []
    for trial in stored(tmp_path).values():
        comparison = reproduce(trial, pool)
        assert comparison.identical and comparison.surroundings == []
        batches.append((trial.record.provenance.batch.size, trial.record.provenance.batch.shape))
    assert sorted(batches, key=str) == [(1, 2), (2, UNSET), (2, UNSET)]
    victim = next(iter(stored(tmp_path).values()))
    monkeypatch.setattr("reno.methods.reno.clip_by_trial", lambda gradient, norm, limit: gradient.flip(1))
    monkeypatch.setitem(victim.record.provenance.versions, "torch", "0.1")
    comparison = reproduce(victim, pool)
    assert not comparison.identical
    assert comparison.columns["score"] > 0 and comparison.noise > 0
    assert any("torch 0.1 then" in line for line in comparison.surroundings)


def test_a_trial_whose_start_another_metric_chose_is_reproduced_with_that_metric(run, tmp_path, tiny, pool):
    start = ["method.start=3", "iterations=4", "metric=clip", "record=[blip]"]
    run("prompt=a red car", *start)
    run("prompt=a red car", *start, "method.start_by=blip")
    own, other = sorted(stored(tmp_path).values(), key=lambda trial: "asked" in trial.record.spec.method)
    assert other.record.spec.method["asked"]["blip"][0]["kind"] == "blip"
    assert reproduce(other, pool).identical and reproduce(own, pool).identical
    asked = other.record.provenance.checkpoints.asked
    other.record.provenance.checkpoints.asked["blip"] = (
        msgspec.structs.replace(asked["blip"][0], source=str(tiny / "blip_large")),
    )
    with pytest.raises(BadInput, match="blip_large now holds other weights"):
        reproduce(other, pool)


def test_a_trial_of_more_threads_than_there_are_cores_is_reproduced_with_the_cores(run, tmp_path, pool):
    run("prompt=a red car")
    (trial,) = stored(tmp_path).values()
    provenance = msgspec.structs.replace(trial.record.provenance, threads=100_000)
    found = Stored(trial.folder, msgspec.structs.replace(trial.record, provenance=provenance))
    assert any(line.startswith("threads 100000 then") for line in reproduce(found, pool).surroundings)
    assert torch.get_num_threads() <= os.cpu_count()
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["optimizer=sgd_nesterov"], True),
        (["optimizer=sgd_nesterov", "lr=0.1"], False),
        (["optimizer=sgd_nesterov", "method=best_of_n"], False),
        ([], False),
    ],
)
def test_a_job_whose_rounding_may_grow_says_so(compose, words, told):
    assert make_plan(compose("prompt=a red car", *words)).may_amplify_rounding is told


def test_the_note_about_rounding_comes_before_the_first_batch(run, capsys):
    run("prompt=a red car", "optimizer=sgd_nesterov", "iterations=0")
    first, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("note: with SGD at lr=5, rounding can grow until it changes the image")


def test_a_changed_checkpoint_is_not_taken_for_the_old_one(run, tmp_path, tiny, pool):
    shutil.copytree(tiny / "clip", tmp_path / "clip")
    run("prompt=a red car", f"models.checkpoints.clip.path={tmp_path / 'clip'}")
    shutil.rmtree(tmp_path / "clip")
    shutil.copytree(tiny / "clip_vit_h", tmp_path / "clip")
    (trial,) = stored(tmp_path).values()
    with pytest.raises(BadInput, match="other weights"):
        reproduce(trial, pool)


# --- Slow: other processes, and real numbers --------------------------------------------------------------------------


@pytest.mark.slow
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


@pytest.mark.slow
def test_three_workers_on_one_store_leave_it_whole(knobs, tmp_path):
    """The same command three times at once, with W&B: each trial is stored once, whole, and every worker ends well."""
    words = [*knobs, "tracking=offline", PROMPTS, "seed=[0,1]", "batch_size=1", "iterations=4"]
    words.append(f"results={tmp_path / 'results'}")
    command = [sys.executable, "-m", "reno.run", *words]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(3)]
    said = [worker.communicate(timeout=600)[1] for worker in workers]
    assert ([worker.returncode for worker in workers], said) == ([0, 0, 0], ["", "", ""])
    found = list(Store(tmp_path / "results"))
    assert len(found) == 6 and all(isinstance(trial, Stored) and trial.damage() is None for trial in found)
    assert list((tmp_path / "results" / "staging").iterdir()) == []
    assert list((tmp_path / "results" / "wandb" / "open").iterdir()) == []
    assert main([*knobs, "tracking=disabled", f"results={tmp_path / 'alone'}", *words[len(knobs) + 1 : -1]]) == 0
    alone = {trial.id: trial for trial in Store(tmp_path / "alone")}
    for trial in found:
        assert without_times(trial).equals(without_times(alone[trial.id]))


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["clip", "blip"])
def test_a_trial_is_the_same_beside_any_others_where_steps_are_long(metric, tmp_path):
    """On the testbed, with the paper's setting, whose rounding grows to other images: alone, and with three others."""
    words = [
        "optimizer=sgd_nesterov",
        f"metric={metric}",
        "iterations=12",
        "threads=1",
        "tracking=disabled",
        "record=[]",
    ]
    one, others = "a gold bench and a green clock", "a red car and a blue bowl,a pink star and a black cup"
    assert main([*words, f"results={tmp_path / 'alone'}", f"prompt={one}"]) == 0
    assert main([*words, f"results={tmp_path / 'beside'}", f"prompt=[{one},{others}]"]) == 0
    (alone,) = Store(tmp_path / "alone").whole()
    beside = Store(tmp_path / "beside").find(alone.id)
    assert (alone.record.provenance.batch.shape, beside.record.provenance.batch.shape) == (4, 4)
    assert without_times(alone).equals(without_times(beside))
    np.testing.assert_array_equal(alone.noise()["best"], beside.noise()["best"])
