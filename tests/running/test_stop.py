"""A trial that stops early is recorded up to there, and the others of its batch go on as they were."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from msgspec import UNSET

from reno.methods import identity, settings_of, shortened
from reno.running.batch import run_batch
from reno.running.listeners import Listener
from reno.running.reproducing import reproduce
from reno.spec.job import Stop
from tests.running.jobs import PROMPTS, stored
from tests.running.stand_in_models import (
    NAN,
    Clock,
    Looking,
    Numbered,
    Scripted,
    column,
    models_of,
    ran,
    said,
    settings,
    table,
    trials,
)


def stopping(iterations=5, **stop):
    return dataclasses.replace(settings(iterations), stop=Stop(**stop))


SCORES = [1.0, 3.0, 2.0, 3.0, 9.0, 4.0]

STOPS = [
    ({}, 6, None),
    ({"score": 3.0}, 2, "score"),
    ({"score": 0.5}, 1, "score"),
    ({"score": 9.5}, 6, None),
    ({"patience": 1}, 3, "patience"),
    ({"patience": 2}, 4, "patience"),  # an equal score is no better one
    ({"patience": 3}, 6, None),
    ({"images": 4}, 4, "images"),
    ({"patience": 2, "score": 3.0}, 2, "score"),
]


@pytest.mark.parametrize(("stop", "images", "why"), STOPS)
def test_a_trial_ends_at_the_image_that_its_limit_names(stop, images, why):
    generator = Numbered()
    (progress,) = ran(trials(1), models_of(Scripted(table(SCORES)), generator), stopping(**stop)).trials
    assert (len(progress.trace), len(progress.frames), progress.stopped) == (images, images, why)
    assert generator.made == images  # the batch is over when all its trials have stopped
    assert column(progress, "score") == SCORES[:images]


def test_scores_that_are_not_finite_use_up_patience_and_reach_no_score():
    (progress,) = ran(trials(1), models_of(Scripted(table([NAN] * 6))), stopping(patience=3, score=-1e9)).trials
    assert (len(progress.trace), progress.stopped) == (4, "patience")


def test_the_others_of_a_batch_go_on_as_they_were():
    """The second trial stops at its second image; its last image, its best one and its scores are of before."""
    rows = [[1.0, 2.0, 3.0, 4.0], [1.0, 7.0, 8.0, 9.0], [4.0, 3.0, 2.0, 5.0]]

    def batch(chosen):
        recorded, judge = Scripted(lambda trial, iteration: 100 * trial + iteration), Looking()
        return ran(trials(3), models_of(Scripted(table(*rows)), None, {"recorded": recorded}, [judge]), chosen).trials

    whole, cut = batch(settings(3)), batch(stopping(3, score=6.0))
    for number in (0, 2):
        one, other = whole[number], cut[number]
        assert other.stopped is None and (one.best, one.scores, one.verdicts) == (
            other.best, other.scores, other.verdicts
        )  # fmt: skip
        assert column(one, "score") == column(other, "score")
        np.testing.assert_array_equal(one.best_noise, other.best_noise)
    stopped = cut[1]
    assert (stopped.stopped, stopped.best, column(stopped, "score")) == ("score", 1, [1.0, 7.0])
    assert stopped.scores["best"] == stopped.scores["last"] == {"scripted": 7.0, "recorded": 101.25}
    assert stopped.verdicts == {"looker": ("clip", said(1, 0), said(1, 1))}


def test_a_last_image_that_was_not_the_best_is_kept_too():
    rows = [[5.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0]]
    recorded = Scripted(lambda trial, iteration: 100 * trial + iteration)
    done = ran(trials(2), models_of(Scripted(table(*rows)), None, {"recorded": recorded}), stopping(3, patience=2))
    stopped, whole = done.trials
    assert stopped.scores["last"] == {"scripted": 2.0, "recorded": 2.25} and stopped.scores["best"]["scripted"] == 5.0
    assert whole.scores["last"] == {"scripted": 4.0, "recorded": 103.25}


def test_seconds_are_those_of_the_batch_divided_by_the_trials_side_by_side(monkeypatch):
    """A pass takes a second. Of two trials beside two copies, each has a fourth of it."""
    clock = Clock()
    monkeypatch.setattr("time.perf_counter", clock)
    models = models_of(Scripted(table(*[[float(k) for k in range(20)]] * 4)), Numbered(clock))
    *_, done = run_batch(trials(2), stopping(19, seconds=2.5), "scripted", models, shape=4)
    for progress in done.trials:
        assert (len(progress.trace), progress.stopped, progress.seconds) == (10, "seconds", 10.0)


def test_only_the_steps_of_a_trial_are_told_as_its_own():
    told = []
    for run in run_batch(
        trials(2),
        stopping(3, score=6.0),
        "scripted",
        models_of(Scripted(table([1.0, 7.0, 8.0, 9.0], [1.0, 2.0, 3.0, 4.0]))),
    ):
        if not run.scored:
            told.append([progress.stepped for progress in run.trials])
    assert told == [[True, True], [True, True], [False, True], [False, True]]


# --- Identity ---------------------------------------------------------------------------------------------------------


def test_a_stop_is_part_of_the_identity_only_where_there_is_one():
    assert identity(stopping()) == {"name": "best_of_n", "iterations": 5}
    chosen = stopping(patience=4, score=1.5, seconds=2.0, images=3)
    assert identity(chosen) == {
        "name": "best_of_n", "iterations": 5, "stop_patience": 4, "stop_score": 1.5, "stop_seconds": 2.0
    }  # fmt: skip
    assert settings_of(identity(chosen)).stop == Stop(patience=4, score=1.5, seconds=2.0)
    assert settings_of(identity(stopping())).stop == Stop()


def test_a_rehearsal_does_not_stop():
    assert shortened(stopping(patience=1), 2).stop == Stop()


# --- A job ------------------------------------------------------------------------------------------------------------


class Rows(Listener):
    """Counts the steps that it is told of each trial."""

    def __init__(self):
        self.of = {}

    def step(self, batch, run):
        for progress in run.trials:
            self.of[progress.trial.id] = self.of.get(progress.trial.id, 0) + (progress.stepped and not run.scored)


def test_a_trial_that_stopped_is_stored_as_such_and_reproduced(run, tmp_path, pool):
    rows = Rows()
    outcome = run(
        PROMPTS, "seed=[1,2]", "method=best_of_n", "batch_size=2", "iterations=8", "stop.patience=1", listeners=[rows]
    )
    assert outcome.status == 0
    found = stored(tmp_path)
    assert len(found) == 6
    for id, trial in found.items():
        record, trace = trial.record, trial.trace()
        assert len(trace) == len(trial.frames()) == record.timings.images == rows.of[id]
        scores = trace["score"].tolist()
        rising = [later > before for before, later in itertools.pairwise(scores)]
        assert all(rising[:-1]) and rising[-1] == (record.stopped is UNSET)
        assert record.spec.method["stop_patience"] == 1
        assert record.timings.batch_seconds == pytest.approx(trace["seconds"].sum())
        assert reproduce(trial, pool).identical
    assert "patience" in {trial.record.stopped for trial in found.values()}
    assert len({len(trial.trace()) for trial in found.values()}) > 1


@pytest.mark.parametrize("stop", ["patience=2", pytest.param("score=1e9", marks=pytest.mark.slow)])
def test_a_stop_changes_no_image_before_it(run, tmp_path, stop):
    """Two trials side by side, with and without a stop: what both have made is the same to the last bit."""
    words = ("prompt=[a red car,a blue cup]", "batch_size=2", "lr=0.5", "iterations=5")
    run(*words)
    run(*words, f"stop.{stop}")
    by_prompt = {}
    for trial in stored(tmp_path).values():
        by_prompt.setdefault(trial.record.spec.prompt, []).append(trial)
    for one, other in by_prompt.values():
        images = min(len(one.frames()), len(other.frames()))
        assert one.trace()["score"][:images].tolist() == other.trace()["score"][:images].tolist()
        assert all(map(np.array_equal, one.frames()[:images], other.frames()[:images]))


def test_a_trial_that_seconds_ended_is_reproduced_with_as_many_images(run, tmp_path, pool):
    run("prompt=a red car", "batch_size=1", "iterations=4", "stop.seconds=1e-9")
    (trial,) = stored(tmp_path).values()
    assert (trial.record.stopped, trial.record.timings.images) == ("seconds", 1)
    assert reproduce(trial, pool).identical


# --- The knobs --------------------------------------------------------------------------------------------------------


def test_the_knobs_make_a_stop(compose):
    assert compose().settings.stop == Stop()
    chosen = compose("stop.patience=5", "stop.score=-1.5", "stop.seconds=2").settings.stop
    assert chosen == Stop(patience=5, score=-1.5, seconds=2.0)
