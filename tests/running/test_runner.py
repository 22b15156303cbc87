"""The runner on tiny models: batches, resuming, killing, failing, listeners, reproducing."""

from __future__ import annotations

import errno
import json
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
from reno.running.batch import run_batch
from reno.running.listeners import Listener
from reno.running.plan import make_plan
from reno.running.pool import ModelPool
from reno.running.reproducing import reproduce
from reno.spec.errors import BadInput
from reno.store import staging
from reno.store.store import Store, Stored
from reno.tracking import logged

ROOT = Path(__file__).resolve().parent.parent.parent
PROMPTS = "prompt=[a red car,a blue cup and a pink star,a gold bench and a green clock]"


class Probe(Listener):
    """Remembers what it was told."""

    def __init__(self):
        self.heard = []

    def job_begins(self, job):
        self.heard.append("job_begins")

    def batch_begins(self, batch):
        self.heard.append("batch_begins")

    def step(self, batch, run):
        self.heard.append("step")

    def batch_ends(self, batch, run):
        self.heard.append("batch_ends")

    def trial_stored(self, stored):
        self.heard.append(("stored", stored.id))

    def trial_failed(self, trial, provenance, reason):
        self.heard.append(("failed", trial.id, reason))

    def job_ends(self, outcome):
        self.heard.append(("job_ends", outcome.status))

    def warned(self, message):
        self.heard.append(("warned", message))


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
    models = ModelPool().load(plan, torch.device("cpu"))

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
        assert record.best_iteration == int(trace["score"].argmax())
        assert record.scores.best["clip"] == trace["score"].max() > trace["score"][0] == record.scores.initial["clip"]
        assert record.scores.last["clip"] == trace["score"][5]
        assert set(record.scores.last) == {"clip", "blip"}
        noise = trial.noise()
        np.testing.assert_allclose(np.linalg.norm(noise["initial"]), trace["noise_norm"][0], rtol=1e-6)
        assert record.provenance.threads == 1
        assert record.provenance.versions["torch"] == torch.__version__
        assert record.timings.batch_seconds == pytest.approx(trace["seconds"].sum())
    summary = json.loads((tmp_path / "job" / "job.json").read_text())
    assert [entry["state"] for entry in summary["trials"]] == ["done"] * 3
    for entry in summary["trials"]:  # what the trials share and each one's own are together its identity
        identity = {**summary["spec"], "prompt": entry["prompt"], "seed": entry["seed"]}
        assert identity == stored(tmp_path)[entry["id"]].record.spec.to_json()
    assert (tmp_path / "job" / "contact_sheet.png").stat().st_size > 1000
    assert "stored " in (tmp_path / "job" / "job.log").read_text()


def test_a_weighted_sum_has_a_column_for_each_of_its_terms(run, tmp_path):
    run("prompt=a red car", "metric=clip+blip", "metric.blip_weight=0.5")
    (trial,) = stored(tmp_path).values()
    trace = trial.trace()
    np.testing.assert_allclose(trace["score"], trace["score/clip"] + 0.5 * trace["score/blip"], rtol=1e-6)
    np.testing.assert_allclose(trace["loss"], 150 - trace["score"], rtol=1e-6)
    assert trace["score/clip"][0] == pytest.approx(trial.record.scores.initial["clip"], rel=1e-6)


def test_the_noise_is_the_seeds_for_every_metric_batch_and_method(run, tmp_path):
    run("prompt=a red car", "seed=7", "batch_size=1")
    run("prompt=[a blue cup,a red car]", "seed=[3,7]", "metric=blip", "method=best_of_n", "batch_size=4")
    expected = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(7)).numpy()
    sevens = [trial for trial in stored(tmp_path).values() if trial.record.spec.seed == 7]
    assert len(sevens) == 3
    for trial in sevens:
        np.testing.assert_array_equal(trial.noise()["initial"], expected)


def test_the_same_command_again_does_nothing(run, tmp_path, capsys):
    class Untouched(ModelPool):
        def load(self, plan, device):
            pytest.fail("the models were loaded for nothing")

    run(PROMPTS)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "results" / "trials").rglob("*")}
    capsys.readouterr()
    outcome = run(PROMPTS, folder="again", models=Untouched())
    assert (len(outcome.done), len(outcome.skipped), outcome.status) == (0, 3, 0)
    assert "nothing to do" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "results" / "trials").rglob("*")} == before


def test_a_resumed_trial_runs_in_its_batch_and_makes_the_same_numbers(run, tmp_path):
    run(PROMPTS, "batch_size=3", "iterations=4")
    first = {trial_id: without_times(trial) for trial_id, trial in stored(tmp_path).items()}
    victim = sorted(first)[1]
    shutil.rmtree(tmp_path / "results" / "trials" / victim)
    outcome = run(PROMPTS, "batch_size=3", "iterations=4", folder="again")
    assert outcome.done == [victim]
    assert without_times(stored(tmp_path)[victim]).equals(first[victim])


def test_a_job_reads_each_record_once(run, tmp_path, monkeypatch):
    from reno.store import store as module

    run(PROMPTS, "batch_size=1")
    shutil.rmtree(next(iter(stored(tmp_path).values())).folder)
    read = []
    monkeypatch.setattr(
        module, "read_trial", lambda folder, whole=module.read_trial: (read.append(folder), whole(folder))[1]
    )
    run(PROMPTS, "batch_size=1", folder="again")
    assert len(read) == len(set(read)) == 2


# --- Failures ---------------------------------------------------------------------------------------------------------


def test_one_failing_trial_does_not_stop_the_others(run, tmp_path, method, capsys):
    odd = method(
        "def steps(problem, settings):\n"
        "    for step in reno.steps(problem, settings):\n"
        "        yield dataclasses.replace(step, failures={1: 'it stopped'})\n"
    )
    probe = Probe()
    outcome = run(PROMPTS, "batch_size=3", *odd, listeners=[probe])
    assert outcome.status == 1
    assert (len(outcome.done), list(outcome.failed.values())) == (2, ["it stopped"])
    assert "failed: a blue cup and a pink star · seed 42: it stopped" in capsys.readouterr().err
    assert set(stored(tmp_path)) == set(outcome.done)
    assert [one[2] for one in probe.heard if one[0] == "failed"] == ["it stopped"]


def test_a_batch_that_breaks_does_not_stop_the_next(run, tmp_path, method):
    odd = method(
        "calls = []\n"
        "def steps(problem, settings):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 1:\n"
        "        raise RuntimeError('out of something\\nand more')\n"
        "    yield from reno.steps(problem, settings)\n"
    )
    outcome = run(PROMPTS, "batch_size=2", *odd)
    assert (len(outcome.done), len(outcome.failed)) == (1, 2)
    assert set(outcome.failed.values()) == {"RuntimeError: out of something"}


def test_a_full_disk_is_told_once_and_the_trials_that_are_lost_are_listed(run, tmp_path, capsys):
    class Full(Store):
        def commit(self, finished):
            if finished.record.spec.prompt == "a red car":
                return super().commit(finished)
            raise OSError(errno.ENOSPC, "No space left on device")

    outcome = run(PROMPTS, store=Full)
    assert (outcome.status, len(outcome.done), len(outcome.failed)) == (1, 1, 2)
    assert capsys.readouterr().err.splitlines() == [
        f"warning: the disk of results={tmp_path / 'results'} is full: trials are lost until there is space again; the "
        "same command runs them again",
        "failed: a blue cup and a pink star · seed 42: it could not be stored (No space left on device)",
        "failed: a gold bench and a green clock · seed 42: it could not be stored (No space left on device)",
    ]
    states = [trial["state"] for trial in json.loads((tmp_path / "job" / "job.json").read_text())["trials"]]
    assert states == ["done", "failed", "failed"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no device that is always full")
def test_what_is_only_a_log_fails_no_job(run, tmp_path, capsys, caplog, monkeypatch):
    """Each of these files is on a full disk, the trials are not."""
    (tmp_path / "job").mkdir()
    for name in ("job.log", "changes.patch"):
        (tmp_path / "job" / name).symlink_to("/dev/full")

    def full(path, data, write=staging.write_through):
        write(Path("/dev/full") if path.parent.name == "job" else path, data)

    monkeypatch.setattr(staging, "write_through", full)
    outcome = run("prompt=a red car")
    assert (outcome.status, len(stored(tmp_path))) == (0, 1)
    said = [line for line in capsys.readouterr().err.splitlines() if "changes.patch" not in line]
    assert said == [
        "warning: job.json could not be written (No space left on device)",
        "warning: the contact sheet could not be written (No space left on device)",
        "warning: job.log lacks lines that could not be written (No space left on device)",
    ]
    assert "job.log lacks" not in caplog.text  # Python would print it once more
    assert sorted(path.name for path in (tmp_path / "job").iterdir()) == ["changes.patch", "job.log"]


def test_where_all_is_stored_a_store_that_cannot_be_written_is_no_error(run, tmp_path):
    class Unwritable(Store):
        def prepare(self):
            raise BadInput("it cannot be written")

    run("prompt=a red car")
    assert run("prompt=a red car", store=Unwritable).status == 0
    with pytest.raises(BadInput):
        run("prompt=a blue cup", store=Unwritable)


def test_a_last_image_that_is_not_finite_fails_its_trials_and_the_others_go_on(run, tmp_path, capsys):
    outcome = run("prompt=[a red car,a blue cup]", "iterations=1", "lr=1e30", "metric=clip+blip")
    why = "iteration 1: the generator made an image with values that are not finite; try a smaller lr"
    assert (outcome.status, list(outcome.failed.values())) == (1, [why, why])
    assert json.loads((tmp_path / "job" / "job.json").read_text())["status"] == 1
    assert "Traceback" not in capsys.readouterr().err


def test_commits_go_on_beside_the_next_batches_and_never_many_behind(run, tmp_path):
    """Storing is slower than optimising here: the second commit ends only once two more batches have begun."""
    begun, stored_when = [], []

    class Begun(Listener):
        def batch_begins(self, batch):
            begun.append(batch)

    class Slow(Store):
        def commit(self, finished):
            deadline = time.monotonic() + 60
            while len(begun) < min(len(stored_when) + 3, 6) and time.monotonic() < deadline:
                time.sleep(0.01)
            stored_when.append(len(begun))
            return super().commit(finished)

    outcome = run(PROMPTS, "seed=[0,1]", "batch_size=1", listeners=[Begun()], store=Slow, pending_commits=2)
    assert len(outcome.done) == len(stored(tmp_path)) == 6
    assert stored_when == [3, 4, 5, 6, 6, 6]


def test_a_terminated_job_stores_what_is_finished(run, tmp_path):
    class Terminating(Listener):
        batches = 0

        def batch_begins(self, batch):
            self.batches += 1
            if self.batches == 3:
                os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    outcome = run(PROMPTS, "batch_size=1", listeners=[Terminating()])
    assert (outcome.status, len(stored(tmp_path))) == (130, 2)
    assert signal.getsignal(signal.SIGTERM) is before


# --- Listeners --------------------------------------------------------------------------------------------------------


def test_a_listener_hears_the_story_of_a_job_in_order(run, tmp_path):
    probe = Probe()
    run(PROMPTS, "batch_size=2", "iterations=1", listeners=[probe])
    kinds = [one if isinstance(one, str) else one[0] for one in probe.heard]
    told = [kind for kind in kinds if kind != "stored"]
    batch = ["batch_begins", "step", "step", "step", "batch_ends"]  # two images, and once more when judged
    assert told == ["job_begins", *batch, *batch, "job_ends"]
    assert kinds.index("stored") > kinds.index("batch_ends")
    assert {one[1] for one in probe.heard if one[0] == "stored"} == set(stored(tmp_path))
    assert probe.heard[-1] == ("job_ends", 0)


def test_a_listener_that_raises_costs_a_warning_and_no_trial(run, tmp_path, capsys):
    class Broken(Listener):
        calls = 0

        def step(self, batch, run):
            Broken.calls += 1
            raise ZeroDivisionError("a bug")

    probe = Probe()
    outcome = run(PROMPTS, "batch_size=1", listeners=[Broken(), probe])
    assert (outcome.status, len(stored(tmp_path)), Broken.calls) == (0, 3, 1)
    sentence = "Broken stopped working (ZeroDivisionError: a bug); the trials go on without it"
    assert ("warned", sentence) in probe.heard
    assert f"warning: {sentence}" in capsys.readouterr().err


def test_listeners_hear_from_one_thread(run):
    import threading

    heard = set()

    class Threads(Listener):
        def trial_stored(self, stored):
            heard.add(threading.current_thread())

        step = batch_begins = job_begins = job_ends = lambda self, *_: heard.add(threading.current_thread())

    run(PROMPTS, "batch_size=1", listeners=[Threads()])
    assert heard == {threading.main_thread()}


def test_judgements_are_of_the_images_that_are_stored(run, tmp_path):
    import dataclasses

    from reno.evaluators import Evaluator
    from reno.spec.judgements import Judgement, Verdict
    from reno.tracking.cards import summary_values
    from reno.weights.images import to_uint8

    seen = []

    class Judge(Evaluator):
        name, kin = "stub", "none"

        def judge(self, images, prompts):
            seen.extend(to_uint8(images))
            judged = [
                Judgement(b.attribute, b.object, True, True, bool(seen), 1.0, 1.0, 1.0) for b in prompts[0].bindings
            ]
            return [Verdict(tuple(judged), {"swapped": False}) for _ in prompts]

    class Judged(ModelPool):
        def load(self, plan, device):
            return dataclasses.replace(super().load(plan, device), evaluators=(Judge(),))

    run("prompt=a red car and a blue cup", "lr=0.05", "iterations=6", models=Judged())
    (trial,) = stored(tmp_path).values()
    np.testing.assert_array_equal(seen[0], trial.image("initial"))
    np.testing.assert_array_equal(seen[1], trial.image("best"))
    assert trial.record.judgements["stub"].best.judgements[1].object == "cup"
    assert summary_values(trial.record)["stub/all_bound/best"] is True


# --- Again ------------------------------------------------------------------------------------------------------------


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


def test_a_trial_that_was_not_tracked_is_tracked_when_its_command_runs_again(run, tmp_path):
    run("prompt=a red car")
    (trial,) = stored(tmp_path).values()
    assert not logged(tmp_path / "results", trial.id)
    run("prompt=a red car", folder="again", tracking="offline")
    assert logged(tmp_path / "results", trial.id)


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


# --- Slow: other processes, and real numbers --------------------------------------------------------------------------


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
    assert len(found) == 6 and all(isinstance(trial, Stored) and trial.changed_file() is None for trial in found)
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
