"""What a tracker is told of a job, by a tracker that writes it down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reno.running.batch import BatchRun, Progress
from reno.running.listeners import RunningBatch, RunningJob
from reno.running.outcome import Outcome
from reno.running.plan import make_plan
from reno.store.records import TrialRecord
from reno.store.store import Store
from reno.tracking import TrackingSpec
from reno.tracking.folder import mark_logged
from reno.tracking.listener import BEGUN_AGAIN, Tracking
from tests.store.records import finished, golden, record


class Written:
    """A tracker that writes down what it is told."""

    def __init__(self):
        self.told = []

    def start(self, card):
        self.told.append(("start", card.id))

    def log(self, trial_id, iteration, values, image):
        self.told.append(("log", trial_id, iteration, values["score"], int(image[0, 0, 0])))

    def finish(self, trial_id, summary, failed=None):
        self.told.append(("finish", trial_id, failed or summary.get("best_iteration")))

    def close(self):
        return ["where it is"]


PROVENANCE = TrialRecord.from_json(golden("trial_clip")).provenance


@pytest.fixture
def begun(compose, tmp_path):
    """begun(finished): a listener whose job has begun, its tracker, and the job's plan."""

    def make(stored=lambda plan, store: {}):
        plan = make_plan(compose("prompt=[a red car,a cup]", f"results={tmp_path}", "evaluators=[]"))
        store = Store(tmp_path)
        store.prepare()
        tracker, made = Written(), []
        settings = TrackingSpec(mode="offline")
        listener = Tracking(settings, lambda *what: made.append(what) or tracker)
        warn = print
        job = RunningJob(plan, Path("job"), "the study", "", stored(plan, store), batches=1, warn=warn)
        listener.job_begins(job)
        assert made == [(settings, tmp_path, warn)]
        return listener, tracker, plan

    return make


def step(listener, batch, iteration, scored=False, stopped=()):
    """Another image of each trial, whose level is its iteration. stopped: places of trials that had stopped before."""
    frame = np.full((2, 2, 3), iteration, np.uint8)
    trials = [
        Progress(
            trial,
            trace=[{"iteration": iteration, "score": float(place)}],
            frames=[frame],
            stepped=place not in stopped,
        )
        for place, trial in enumerate(batch.trials)
    ]
    listener.step(batch, BatchRun(trials, scored=scored))


def batch_of(plan, *missing):
    """The plan's batch, in which the trials at these places are to be stored."""
    return RunningBatch(plan.trials, {plan.trials[place].id: PROVENANCE for place in missing}, 1, 1)


def test_a_run_starts_with_its_first_image_and_ends_when_the_trial_is_stored(begun, tmp_path):
    listener, tracker, plan = begun()
    one, two = (trial.id for trial in plan.trials)
    batch = batch_of(plan, 0, 1)
    listener.batch_begins(batch)
    assert tracker.told == []
    step(listener, batch, 0)
    step(listener, batch, 1)
    step(listener, batch, 1, scored=True)  # the last state repeats the last step's images
    assert tracker.told == [
        ("start", one), ("log", one, 0, 0.0, 0), ("start", two), ("log", two, 0, 1.0, 0),
        ("log", one, 1, 0.0, 1), ("log", two, 1, 1.0, 1),
    ]  # fmt: skip
    tracker.told.clear()
    stored = Store(tmp_path).commit(finished(trial=plan.trials[0]))
    listener.trial_stored(stored)
    listener.trial_failed(plan.trials[1], PROVENANCE, "it fell over")
    assert tracker.told == [("finish", one, stored.record.best_iteration), ("finish", two, "it fell over")]
    assert listener.open == set()


def test_a_trial_that_only_keeps_others_company_is_not_shown(begun):
    listener, tracker, plan = begun()
    step(listener, batch_of(plan, 1), 0)
    assert [told[:2] for told in tracker.told] == [("start", plan.trials[1].id), ("log", plan.trials[1].id)]


def test_a_trial_that_has_stopped_is_not_shown_again(begun):
    listener, tracker, plan = begun()
    batch = batch_of(plan, 0, 1)
    step(listener, batch, 0)
    step(listener, batch, 1, stopped=[1])
    assert tracker.told[-1] == ("log", plan.trials[0].id, 1, 0.0, 1)


def test_a_batch_that_begins_again_ends_the_runs_it_had_begun(begun):
    listener, tracker, plan = begun()
    batch = batch_of(plan, 0, 1)
    step(listener, batch, 0)
    tracker.told.clear()
    listener.batch_begins(RunningBatch(plan.trials[:1], batch.provenance, 1, 2))
    assert tracker.told == [("finish", plan.trials[0].id, BEGUN_AGAIN)]
    listener.batch_begins(RunningBatch(plan.trials[:1], batch.provenance, 1, 2))
    assert len(tracker.told) == 1


def test_a_trial_that_failed_before_its_first_image_has_a_run(begun):
    listener, tracker, plan = begun()
    listener.trial_failed(plan.trials[0], PROVENANCE, "no memory")
    assert tracker.told == [("start", plan.trials[0].id), ("finish", plan.trials[0].id, "no memory")]


def test_a_stored_trial_whose_run_never_ended_is_shown_again(begun):
    """Its process was killed after the trial was stored; the other's run is whole."""

    def stored(plan, store):
        found = {}
        for trial in plan.trials:
            frames = [np.full((4, 4, 3), 10 * k, np.uint8) for k in range(3)]
            found[trial.id] = store.commit(finished(count=3, trial=trial, frames=frames))
        mark_logged(store.root, plan.trials[1].id, {})
        return found

    _, tracker, plan = begun(stored)
    again = plan.trials[0].id
    assert tracker.told == [
        ("start", again), *(("log", again, k, float(k), 10 * k) for k in range(3)),
        ("finish", again, record().best_iteration),
    ]  # fmt: skip


def test_where_the_runs_are_is_told_at_the_end(begun):
    listener, _, _ = begun()
    outcome = Outcome(places=["elsewhere"])
    listener.job_ends(outcome)
    assert outcome.places == ["elsewhere", "where it is"]


def test_a_job_that_never_began_has_nothing_to_close():
    outcome = Outcome()
    Tracking(TrackingSpec()).job_ends(outcome)
    assert outcome.places == []
