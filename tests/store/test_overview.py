"""How far jobs are, from a store whose every trial, lease and record is known."""

from __future__ import annotations

import os
import time

import msgspec
import pytest

from reno.spec.trial import digest
from reno.status import main
from reno.store.claims import LEASE_SECONDS, Claims
from reno.store.overview import overview
from reno.store.records import JobRecord, JobTrial
from reno.store.store import write_job_record
from tests.store.records import finished, golden

FAR = f"gpu-7.0123456789abcdef.45@7.99-{'0' * 32}"
LABELS = JobRecord.from_json(golden("job")).labels
PLANNED = [finished(seed=seed).record for seed in range(6)]
"""The trials of the job; each of one job has this spec and its seed."""


def job(root, name, states, status, seeds=range(6)):
    trials = tuple(
        JobTrial(id=PLANNED[seed].id, prompt=PLANNED[seed].spec.prompt, seed=seed, state=state)
        for seed, state in zip(seeds, states, strict=True)
    )
    folder = root / "jobs" / name
    folder.mkdir(parents=True)
    write_job_record(folder, JobRecord(labels=LABELS, status=status, trials=trials))


def store_trial(store, seed, seconds, batch=(2, None), device="NVIDIA H100 (CUDA 12.8)"):
    record = PLANNED[seed]
    size, shape = batch
    of_batch = msgspec.structs.replace(record.provenance.batch, size=size, shape=shape or msgspec.UNSET)
    record = msgspec.structs.replace(
        record,
        timings=msgspec.structs.replace(record.timings, seconds=seconds / size, batch_seconds=seconds),
        provenance=msgspec.structs.replace(record.provenance, batch=of_batch, device=device),
    )
    assert digest(record.spec.to_json()) == record.id
    store.commit(finished(record=record))


def test_a_running_job_has_stored_running_failed_and_waiting_trials(store):
    root = store.root
    job(root, "1", ["done", "failed", "failed", *["not run"] * 3], 1)
    job(root, "2", ["stored before", *["not run"] * 5], None)  # it runs now
    store_trial(store, 0, 20.0)
    store_trial(store, 1, 40.0)  # failed once, and is stored by now
    with Claims(root, "Tesla T4") as claims:
        claims.take([PLANNED[3].id])
        (one,) = overview(root).jobs
        (worker,) = one.running
        assert (worker.device, worker.name) == ("Tesla T4", claims.name)
    assert (one.done, dict(one.running), one.failed, one.to_do) == (2, {worker: 1}, 1, 2)
    assert one.seconds_left == pytest.approx(3 * 15.0)  # three trials of 10 s or 20 s each: their median
    assert one.hours == pytest.approx({"GPU": (10 + 20) / 3600})


def test_the_time_left_is_shared_by_the_workers_and_a_short_batch_is_not_slower(store):
    root = store.root
    job(root, "1", ["not run"] * 6, None)
    store_trial(store, 0, 32.0, batch=(1, 4))  # one trial and three copies
    with Claims(root) as first, Claims(root) as second:
        first.take([PLANNED[1].id, PLANNED[2].id])
        second.take([PLANNED[3].id])
        (one,) = overview(root).jobs
    assert (sum(one.running.values()), one.to_do) == (3, 2)
    assert one.seconds_left == pytest.approx(5 * 8.0 / 2)


def test_hours_are_told_by_device(store):
    job(store.root, "1", ["done"] * 6, 0)
    store_trial(store, 0, 7200.0, batch=(1, None))
    store_trial(store, 1, 3600.0, batch=(1, None), device="cpu (Some Processor)")
    assert overview(store.root).jobs[0].hours == pytest.approx({"GPU": 2.0, "CPU": 1.0})


def test_a_worker_without_a_heartbeat_runs_nothing(store):
    job(store.root, "1", ["not run"] * 6, None)
    folder = store.root / "claims"
    with Claims(store.root):
        for trial, age in ((1, LEASE_SECONDS + 60), (2, 60)):
            name = FAR.replace("7.99", f"{trial}.99")
            (folder / name).write_text("NVIDIA H100")
            os.utime(folder / name, (time.time() - age,) * 2)
            (folder / PLANNED[trial].id).write_text(name)
        (one,) = overview(store.root).jobs
    assert [(worker.machine, worker.device) for worker in one.running] == [("gpu-7", "NVIDIA H100")]
    assert (one.done, one.to_do, one.seconds_left) == (0, 5, None)


def test_other_trials_are_another_job_and_what_cannot_be_read_is_left_out(store):
    job(store.root, "1", ["done"] * 6, 0)
    job(store.root, "10/0", ["not run"] * 2, None, seeds=(4, 5))
    job(store.root, "9", ["not run"] * 2, 130, seeds=(4, 5))
    (store.root / "jobs" / "11").mkdir()
    (store.root / "jobs" / "11" / "job.json").write_text("{")
    store_trial(store, 4, 1.0)
    (store.trials / PLANNED[5].id).mkdir()
    (store.trials / PLANNED[5].id / "trial.json").write_text("{}")
    assert [(len(one.record.trials), one.record.status, one.done) for one in overview(store.root).jobs] == [
        (6, 0, 1), (2, None, 1)
    ]  # fmt: skip


def test_a_prompt_of_undecodable_bytes_is_read(store):
    seed, prompt = 0, "a \udcff car"
    whole = finished(seed=seed)
    spec = msgspec.structs.replace(whole.record.spec, prompt=prompt)
    record = msgspec.structs.replace(whole.record, spec=spec, id=digest(spec.to_json()))
    store.commit(finished(record=record))
    (store.root / "jobs" / "1").mkdir(parents=True)
    trial = JobTrial(id=record.id, prompt=prompt, seed=seed, state="done")
    write_job_record(store.root / "jobs" / "1", JobRecord(labels=LABELS, status=0, trials=(trial,)))
    assert overview(store.root).jobs[0].done == 1


def test_a_record_that_cannot_be_read_is_named_and_leaves_the_other_jobs(store, capsys):
    job(store.root, "1", ["done"], 0, seeds=[0])
    for name, content in (("2", b"[1]"), ("3", b""), ("4", b"{}")):
        (store.root / "jobs" / name).mkdir()
        (store.root / "jobs" / name / "job.json").write_bytes(content)
    assert len(overview(store.root).jobs) == 1
    named = overview(store.root).damaged
    assert [f"jobs/{name}/job.json" in one for name, one in zip("234", named, strict=True)] == [True] * 3
    assert main([f"results={store.root}"]) == 0
    assert capsys.readouterr().err.count("warning: ") >= 1
    file = store.root / "jobs" / "1" / "job.json"
    assert main([f"results={file}"]) == 2
    assert f"{file} is a file; give the folder" in capsys.readouterr().err
