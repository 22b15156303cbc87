"""Listeners hear the story of a job in order, from one thread, and one that breaks stops no trial."""

from __future__ import annotations

from reno.running.listeners import Listener
from reno.tracking import logged
from tests.running.jobs import PROMPTS, Probe, stored


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


def test_a_trial_that_was_not_tracked_is_tracked_when_its_command_runs_again(run, tmp_path):
    run("prompt=a red car")
    (trial,) = stored(tmp_path).values()
    assert not logged(tmp_path / "results", trial.id)
    run("prompt=a red car", folder="again", tracking="offline")
    assert logged(tmp_path / "results", trial.id)
