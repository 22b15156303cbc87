"""What a tracker is told of a job, by a tracker that writes it down."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from reno.running.listeners import RunningBatch, RunningJob
from reno.running.outcome import Outcome
from reno.running.plan import make_plan
from reno.running.progress import BatchRun, Progress
from reno.spec.errors import BadInput
from reno.store.records import Scores, TrialRecord
from reno.store.store import Store
from reno.tracking import TrackingSpec
from reno.tracking.folder import mark_logged
from reno.tracking.jobs import TrialTable
from reno.tracking.judgements import show_judgements
from reno.tracking.listener import BEGUN_AGAIN, Tracking
from reno.tracking.surroundings import check_sweep, group_of
from tests.store.records import finished, golden, record


class Written:
    """A tracker that writes down what it is told."""

    def __init__(self):
        self.told, self.cards = [], {}

    def start(self, card):
        self.cards[card.id] = card
        self.told.append(("start", card.id))

    def log(self, run_id, at, values, image):
        if "before" in values:
            told = ("images", run_id, at, values["before"].caption, values["after"].caption)
        elif "score" in values:
            assert values["loss/clip"] == values["loss"]
            told = ("log", run_id, at, values["score"], None if image is None else int(image[0, 0, 0]))
        else:
            told = ("log", run_id, at, values)
        self.told.append(told)

    def finish(self, run_id, summary, failed=None, record=None):
        assert failed or record or "trials" in summary
        self.told.append(("finish", run_id, failed or summary.get("best_iteration"), summary))

    def close(self):
        return ["where it is"]


PROVENANCE = TrialRecord.from_json(golden("trial_clip")).provenance


@pytest.fixture
def begun(compose, tmp_path):
    """begun(finished): a listener whose job has begun, its tracker, and the job's plan."""

    def make(stored=lambda plan, store: {}, **knobs):
        plan = make_plan(compose("prompt=[a red car,a cup]", f"results={tmp_path}", "evaluators=[]"))
        store = Store(tmp_path)
        store.prepare()
        tracker, made = Written(), []
        settings = TrackingSpec(mode="offline", **knobs)
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
            trace=[{"iteration": iteration, "score": float(place), "loss": -float(place)}],
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
    best = stored.record.best_iteration
    assert [told[:3] for told in tracker.told] == [
        ("images", one, best), ("finish", one, best), ("finish", two, "it fell over"),
    ]  # fmt: skip
    scores = stored.record.scores
    assert tracker.told[0][3:] == (
        f"iteration 0, score {scores.initial['clip']:.3f}",
        f"iteration {best}, score {scores.best['clip']:.3f}",
    )
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
    assert tracker.told == [("finish", plan.trials[0].id, BEGUN_AGAIN, {})]
    listener.batch_begins(RunningBatch(plan.trials[:1], batch.provenance, 1, 2))
    assert len(tracker.told) == 1


def test_a_trial_that_failed_before_its_first_image_has_a_run(begun):
    listener, tracker, plan = begun()
    listener.trial_failed(plan.trials[0], PROVENANCE, "no memory")
    assert tracker.told == [("start", plan.trials[0].id), ("finish", plan.trials[0].id, "no memory", {})]


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
    assert [told[:5] if told[0] == "log" else told[:3] for told in tracker.told] == [
        ("start", again), *(("log", again, k, float(k), 10 * k) for k in range(3)),
        ("images", again, record().best_iteration), ("finish", again, record().best_iteration),
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


def test_images_of_every_nth_iteration_are_logged_and_every_number(begun):
    listener, tracker, plan = begun(images_every=5)
    for iteration in range(7):
        step(listener, batch_of(plan, 0), iteration)
    assert [told[2:] for told in tracker.told if told[0] == "log"] == [
        (iteration, 0.0, iteration if iteration in (0, 5) else None) for iteration in range(7)
    ]


def two_stored(plan, store):
    return {trial.id: store.commit(finished(count=3, trial=trial)) for trial in plan.trials}


def test_at_level_summary_a_job_is_one_run_with_the_means_and_a_table_of_its_trials(begun, tmp_path):
    listener, tracker, plan = begun(level="summary")
    (own,) = tracker.cards
    card = tracker.cards[own]
    assert (card.job_type, card.axis, card.sweep, card.group) == ("job", "trials", None, "the study")
    assert card.name == "clip · adam .01 2 it · 2 trials"
    step(listener, batch_of(plan, 0, 1), 0)
    for stored in two_stored(plan, Store(tmp_path)).values():
        listener.trial_stored(stored)
    listener.trial_failed(plan.trials[0], PROVENANCE, "it fell over")  # as if it were a third
    listener.job_ends(Outcome(failed={"third": "it fell over"}))
    rows = [told for told in tracker.told if told[0] == "log"]
    assert [told[:3] for told in rows] == [("log", own, 1), ("log", own, 2), ("log", own, 2)]
    one = record()
    assert rows[1][3]["score/clip/gain"] == pytest.approx(one.scores.best["clip"] - one.scores.initial["clip"])
    table = rows[2][3]["table"]
    assert table.columns[:3] == ["trial", "prompt", "seed"] and table.columns[-2:] == ["before", "after"]
    assert [row[:3] for row in table.rows] == [[t.id[:12], t.prompt.text, t.seed] for t in plan.trials]
    assert all(row[-1].png.startswith(b"\x89PNG") for row in table.rows)
    kind, run, failed, summary = tracker.told[-1]
    assert (kind, run, failed) == ("finish", own, "1 trials failed")
    assert (summary["trials"], summary["trials_failed"]) == (2, 1)


def test_means_are_over_the_trials_that_have_the_number(tmp_path):
    store = Store(tmp_path)
    store.prepare()
    table = TrialTable()
    for place, best in enumerate((3.0, None, 6.0)):
        scores = Scores(initial={"clip": 1.0}, best={"clip": best}, last={"clip": best})
        table.add(store.commit(finished(record=msgspec.structs.replace(record(seed=place), scores=scores))))
    assert table.means()["score/clip/best"] == 4.5
    assert table.means()["score/clip/gain"] == 3.5
    assert table.means()["score/clip/initial"] == 1.0


def test_in_a_sweep_of_wandb_the_job_is_the_run_that_the_agent_named_and_its_trials_are_a_group(
    begun, tmp_path, monkeypatch
):
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text("wandb_version: 1\nlr: {desc: null, value: 0.02}\nmetric: {value: clip}\n")
    monkeypatch.setenv("WANDB_SWEEP_ID", "s33p")
    monkeypatch.setenv("WANDB_RUN_ID", "r0n1")
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(parameters))
    listener, tracker, plan = begun(two_stored)
    own = tracker.cards["r0n1"]
    assert (own.sweep, own.job_type, own.group) == ("s33p", "job", "sweep s33p")
    assert (own.config["lr"], own.config["metric"]) == (0.02, "clip")
    trials = [tracker.cards[trial.id] for trial in plan.trials]  # stored before, not logged: shown again
    assert [(card.sweep, card.group) for card in trials] == [(None, "sweep s33p")] * 2
    listener.job_ends(Outcome())
    assert tracker.told[-1][:3] == ("finish", "r0n1", 1.0 * record().best_iteration)


@pytest.mark.parametrize(
    ("study", "variables", "group"),
    [
        (None, {}, "the sweep"),
        (None, {"WANDB_RUN_GROUP": "mine"}, "mine"),
        ("typed", {"WANDB_RUN_GROUP": "mine"}, "typed"),
        (None, {"WANDB_RUN_GROUP": "mine", "WANDB_SWEEP_ID": "s", "WANDB_RUN_ID": "r"}, "mine"),
        (None, {"WANDB_SWEEP_ID": "s", "WANDB_RUN_ID": "r"}, "sweep s"),
        (None, {"WANDB_SWEEP_ID": "s", "WANDB_RUN_ID": "../r"}, "the sweep"),
    ],
)
def test_the_group_is_what_was_typed_then_what_wandb_says(study, variables, group):
    assert group_of(study, "the sweep", variables) == group


def test_what_cannot_be_a_run_of_the_sweep_is_refused():
    sweep = {"WANDB_SWEEP_ID": "s", "WANDB_RUN_ID": "r", "WANDB_PROJECT": "theirs"}
    with pytest.raises(BadInput, match=r"tracking.project='mine' is not the project of the sweep .* 'theirs'"):
        check_sweep(TrackingSpec(project="mine"), False, sweep)
    with pytest.raises(BadInput, match="starts one job"):
        check_sweep(TrackingSpec(), True, sweep)
    check_sweep(TrackingSpec(project="theirs"), False, sweep)
    check_sweep(TrackingSpec(mode="disabled", project="mine"), True, sweep)
    check_sweep(TrackingSpec(project="mine"), True, {"WANDB_PROJECT": "theirs"})


def test_judgements_made_later_reach_the_runs_that_there_are(begun, tmp_path):
    store = Store(tmp_path)
    _, _, plan = begun()
    stored = two_stored(plan, store)
    mark_logged(tmp_path, plan.trials[1].id, {})
    amended = []

    class Amending(Written):
        def amend(self, run_id, summary, record):
            amended.append((run_id, summary["best_iteration"], json.loads(record)["id"]))

    lines = show_judgements(stored.values(), TrackingSpec(), tmp_path, print, lambda *_: Amending())
    own = plan.trials[1].id
    assert (amended, lines) == ([(own, record().best_iteration, own)], ["where it is"])
