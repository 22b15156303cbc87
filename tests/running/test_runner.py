"""The runner on tiny models: what a job stores, what it does when typed again, and what a failure costs it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from reno.running.batch import run_batch
from reno.running.listeners import Listener
from reno.running.plan import make_plan
from reno.running.pool import ModelPool
from reno.spec.errors import BadInput
from reno.store import staging
from reno.store.records import JobRecord
from reno.store.store import Store
from tests.running.jobs import PROMPTS, Probe, stored, without_times


@pytest.mark.slow
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


def test_judgements_are_of_the_images_that_are_stored(run, tmp_path):
    import dataclasses

    from reno.evaluators import Evaluator
    from reno.spec.judgements import Judgement, Verdict
    from reno.tracking.cards import numbers_of
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
    assert numbers_of(trial.record, trial.record.judgements)["stub/fully_bound/best"] == 1


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_job_that_is_told_to_end_stores_what_is_finished(run, tmp_path, number):
    class Terminating(Listener):
        batches = 0

        def batch_begins(self, batch):
            self.batches += 1
            if self.batches == 3:
                os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    outcome = run(PROMPTS, "batch_size=1", listeners=[Terminating()])
    assert (outcome.status, len(stored(tmp_path))) == (130, 2)
    assert not list((tmp_path / "results" / "claims").iterdir())
    record = JobRecord.from_json(json.loads((tmp_path / "job" / "job.json").read_text()))
    assert (record.status, [trial.state for trial in record.trials]) == (130, ["done", "done", "not run"])
    assert signal.getsignal(number) is before
