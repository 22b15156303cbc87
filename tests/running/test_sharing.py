"""Workers on one store run each trial once, whoever of them dies."""

from __future__ import annotations

import itertools
import json
import os
import random
import time

import pytest
import torch

from reno.running import sharing, sizing
from reno.running.plan import cut, make_plan
from reno.running.runner import Runner
from reno.running.sharing import Left
from reno.spec.prompts import Prompt
from reno.spec.trial import TrialSpec
from reno.status import main as status
from reno.store.claims import LEASE_SECONDS, Claims
from reno.store.store import Store
from reno.store.stored import Stored
from tests.running.jobs import PROMPTS
from tests.running.workers import Tally, begun, ended, essence, kill, note, started, wait_until
from tests.store.records import finished

FAR = f"far.0123456789abcdef.45@7.99-{'0' * 32}"
NINE = (PROMPTS, "seed=[0,1,2]", "batch_size=2", "iterations=1")
"""Nine trials in five batches."""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(sharing, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(sharing, "LONGEST_WAIT", 0.05)


@pytest.fixture
def batches():
    """Six batches of two trials."""
    made = [TrialSpec(Prompt("a red car"), seed, "g", ({"kind": "clip"},), "float32", {"name": "none"})
            for seed in range(12)]  # fmt: skip
    return cut(made, 2)


@pytest.fixture
def bare(compose, tmp_path, pool):
    """bare(*overrides): a function that runs this job, shown to nobody but a tally; the models are loaded once."""

    def prepare(*overrides):
        plan = make_plan(compose(f"results={tmp_path / 'results'}", "record=[]", *overrides))
        pool.load(plan, torch.device("cpu"))

        def go(number, tally):
            folder, store = tmp_path / f"job {number}", Store(tmp_path / "results")
            outcome = Runner(plan, store, pool, [Tally(tally)], folder=folder, group="test", pending_commits=0).run()
            assert outcome.status == 0

        return go

    return prepare


def ids(batch):
    return [trial.id for trial in batch]


def store_of(root):
    store = Store(root)
    store.prepare()
    return store


def work(root, batches, seconds=0.0, after=lambda batch: None):
    """What a worker does, with nothing to compute: claims, notes what it begins, stores. Returns what is left."""
    store = store_of(root)
    with Claims(root) as claims:
        left = Left(batches, {}, store, claims)
        while (batch := left.next()) is not None:
            note(root / "begun", ids(batch))
            time.sleep(seconds)
            after(batch)
            for trial in batch:
                left.finished[trial.id] = store.commit(finished(trial=trial))
                left.release([trial])
    return left


# --- The rule ---------------------------------------------------------------------------------------------------------


def test_a_worker_leaves_what_another_runs_and_comes_back_to_it(tmp_path, batches):
    store, told, waited = store_of(tmp_path), [], []
    with Claims(tmp_path) as other, Claims(tmp_path) as claims:
        other.take(ids(batches[0]))
        other.take(ids(batches[2]))

        def idle():  # the other worker stores one of its batches and dies in the other
            waited.append(True)
            for trial in batches[0]:
                store.commit(finished(trial=trial))
            other.release(ids(batches[0]) + ids(batches[2]))

        left = Left(batches, {}, store, claims, idle=idle, note=told.append)
        order = []
        while (batch := left.next()) is not None:
            order.append(batches.index(batch))
            for trial in batch:
                left.finished[trial.id] = store.commit(finished(trial=trial))
            left.release(batch)
    assert order == [1, 3, 4, 5, 2]
    assert left.elsewhere == ids(batches[0])
    assert told == ["2 batches are run by others; waiting for them"]
    assert len(waited) == 1


def test_only_what_others_still_run_is_waited_for(tmp_path, batches):
    store, told = store_of(tmp_path), []
    with Claims(tmp_path) as other, Claims(tmp_path) as claims:
        other.take([trial for batch in batches[:3] for trial in ids(batch)])
        left = Left(batches[:4], {}, store, claims, note=told.append)
        assert left.next() == batches[3]
        for trial in (*batches[0], *batches[1], *batches[3]):  # meanwhile
            store.commit(finished(trial=trial))
        left._idle = lambda: other.release(ids(batches[2]))
        assert left.next() == batches[2]
    assert told == ["1 batch is run by others; waiting for it"]


def test_a_batch_is_claimed_where_a_single_trial_is_missing_and_only_that(tmp_path, batches):
    store = store_of(tmp_path)
    first, second = batches[0]
    with Claims(tmp_path) as other, Claims(tmp_path) as claims:
        left = Left(batches[:1], {first.id: store.commit(finished(trial=first))}, store, claims)
        other.take([first.id])  # by a job that is about to see that it is stored
        assert left.next() == batches[0]
        assert not other.take([second.id])


def test_what_is_stored_between_the_look_and_the_claim_is_not_run(tmp_path, batches):
    store = store_of(tmp_path)

    class Late(Claims):
        def take(self, trials):
            for trial in batches[0]:
                store.commit(finished(trial=trial))
            return super().take(trials)

    with Late(tmp_path) as claims, Claims(tmp_path) as other:
        left = Left(batches[:1], {}, store, claims)
        assert left.next() is None
        assert left.elsewhere == ids(batches[0])
        assert other.take(ids(batches[0]))


def test_batches_of_workers_with_other_batch_sizes_never_share_a_trial(tmp_path, batches):
    trials = [trial for batch in batches for trial in batch]
    store = store_of(tmp_path)
    with Claims(tmp_path) as one, Claims(tmp_path) as two:
        narrow, wide = (Left(cut(trials, size), {}, store, claims) for size, claims in ((2, one), (6, two)))
        assert ids(narrow.next()) == ids(trials[:2])
        assert ids(wide.next()) == ids(trials[6:])
        assert ids(narrow.next()) == ids(trials[2:4])


def test_where_nothing_can_be_claimed_the_trials_run_all_the_same(tmp_path, batches, monkeypatch):
    store = store_of(tmp_path)
    with Claims(tmp_path) as claims:
        monkeypatch.setattr(claims, "take", lambda trials: (_ for _ in ()).throw(OSError(28, "No space left")))
        assert Left(batches, {}, store, claims).next() == batches[0]
    assert Left(batches, {}, store, None).next() == batches[0]


def test_three_processes_run_each_trial_once(tmp_path, batches):
    assert ended(*[started(lambda: work(tmp_path, batches, 0.02)) for _ in range(3)]) == [0, 0, 0]
    assert begun(tmp_path / "begun") == {trial: 1 for batch in batches for trial in ids(batch)}
    assert len(list(Store(tmp_path).whole())) == 12
    assert list((tmp_path / "claims").iterdir()) == []


def test_a_killed_worker_wastes_its_batch_and_nothing_else(tmp_path, batches):
    victim = started(lambda: work(tmp_path, batches, after=lambda batch: time.sleep(600)))
    wait_until(lambda: begun(tmp_path / "begun"))
    other = started(lambda: work(tmp_path, batches))
    wait_until(lambda: len(begun(tmp_path / "begun")) == 12)  # it waits for the victim's batch now
    kill(victim)
    assert ended(victim, other) == [-9, 0]
    counted = begun(tmp_path / "begun")
    assert {trial for trial, times in counted.items() if times > 1} == set(ids(batches[0]))
    assert sum(counted.values()) == 14
    assert all(isinstance(found, Stored) and found.damage() is None for found in Store(tmp_path))
    assert len(list(Store(tmp_path))) == 12 and list((tmp_path / "claims").iterdir()) == []


# --- The runner -------------------------------------------------------------------------------------------------------


def test_a_job_says_what_others_run_and_records_it(run, tmp_path, capsys):
    """A worker of another machine died long ago; one of this machine stores its batch while the job waits."""
    folder = tmp_path / "results" / "claims"
    outcome = run(PROMPTS, "batch_size=1", folder="before")
    first, second, _ = outcome.done
    kept = Store(tmp_path / "results").find(first).folder
    for trial in outcome.done[1:]:
        (kept.parent / trial).rename(tmp_path / trial)
    (folder / FAR).touch()
    os.utime(folder / FAR, (time.time() - LEASE_SECONDS - 60,) * 2)
    (folder / first).write_text(FAR)
    kept.rename(tmp_path / "kept")
    capsys.readouterr()
    with Claims(tmp_path / "results") as other:
        other.take([second])

        class Storing(Tally):
            def noted(self, message):
                if "run by others" in message:
                    (tmp_path / second).rename(kept.parent / second)
                    other.release([second])

        outcome = run(PROMPTS, "batch_size=1", listeners=[Storing(tmp_path / "begun")])
    assert (len(outcome.done), outcome.elsewhere, outcome.status) == (2, [second], 0)
    assert second not in begun(tmp_path / "begun")
    said = capsys.readouterr().out
    assert "1 batch is run by others; waiting for it" in said
    assert "2 trials run, 0 stored before, 1 run by others" in said
    states = {trial["id"]: trial["state"] for trial in json.loads((tmp_path / "job/job.json").read_text())["trials"]}
    assert states[second] == "done by another worker" and states[first] == "done"
    assert {path.name for path in folder.iterdir()} <= {FAR}


def test_one_two_and_three_workers_make_the_same_store(bare, tmp_path):
    """Bit for bit, with each trial run once."""
    go, made = bare(*NINE), []
    for workers in (1, 2, 3):
        tally = tmp_path / f"begun by {workers}"
        assert ended(*[started(lambda n=n, t=tally: go(n, t)) for n in range(workers)]) == [0] * workers
        assert set(begun(tally).values()) == {1} and len(begun(tally)) == 9
        made.append(essence(tmp_path / "results"))
        (tmp_path / "results").rename(tmp_path / f"of {workers}")
    assert made[0] == made[1] == made[2] and len(made[0]) == 9


@pytest.mark.slow
def test_workers_that_would_choose_other_batch_sizes_take_one_and_the_same(bare, tmp_path, monkeypatch):
    """Then the store is the one of a single worker with that size, bit by bit."""
    monkeypatch.setattr(sizing, "largest_that_fits", lambda plan, models, most: most)
    auto = bare(*NINE[:2], "iterations=1", "batch_size=auto")

    def worker(number):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache {number}"))
        fastest = (1, 2, 4)[number]
        monkeypatch.setattr(sizing, "seconds_per_image", lambda plan, models, size: 1.0 + abs(size - fastest))
        auto(number, tmp_path / "begun")

    assert ended(*[started(lambda n=n: worker(n)) for n in range(3)]) == [0] * 3
    together = essence(tmp_path / "results")
    (size,) = {trial.record.provenance.batch.cut.size for trial in Store(tmp_path / "results")}
    assert size in (1, 2, 4) and set(begun(tmp_path / "begun").values()) == {1}
    (tmp_path / "results").rename(tmp_path / "of three")
    bare(*NINE[:2], "iterations=1", f"batch_size={size}")(0, tmp_path / "begun again")
    assert essence(tmp_path / "results") == together and len(together) == 9


def test_a_failed_batch_is_given_back_at_once(run, tmp_path, method):
    free = []

    class Asks(Tally):
        def trial_failed(self, trial, provenance, reason):
            with Claims(tmp_path / "results") as other:
                free.append(other.take([trial.id]))

    odd = method("def steps(problem, settings):\n    raise RuntimeError('no')\n    yield\n")
    assert run(PROMPTS, "batch_size=3", *odd, listeners=[Asks(tmp_path / "begun")]).status == 1
    assert free == [True] * 3


def test_a_store_in_which_nothing_can_be_claimed_still_gets_its_trials(run, tmp_path, capsys):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "claims").touch()
    assert run("prompt=a red car").status == 0
    assert "warning: no batch can be claimed (File exists): other workers may run the same trials" in (
        capsys.readouterr().err
    )


def test_a_job_is_seen_while_it_runs(run, tmp_path, capsys):
    class Looking(Tally):
        def batch_begins(self, batch):
            status([f"results={tmp_path / 'results'}"])

    (tmp_path / "results" / "jobs").mkdir(parents=True)
    looking = [Looking(tmp_path / "begun")]
    run("prompt=[a red car,a blue cup]", "batch_size=1", folder="results/jobs/one", listeners=looking,
        pending_commits=0)  # fmt: skip
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if " of 2 " in line and "CPU" in line]
    assert [(row[1], row[4], row[5], row[6]) for row in rows] == [("1", "1", "0", "0")]
    assert json.loads((tmp_path / "results/jobs/one/job.json").read_text())["status"] == 0


@pytest.mark.slow
def test_a_hundred_kills_among_four_workers_lose_double_and_change_nothing(bare, tmp_path):
    """Where all is stored before the last kill, a random part is taken away and done again."""
    chance, numbers, tally = random.Random(0), itertools.count(), tmp_path / "begun"
    go = bare(PROMPTS, f"seed={[*range(16)]}".replace(" ", ""), "batch_size=2", "iterations=10")
    go(0, tmp_path / "alone")
    alone, wanted = essence(tmp_path / "results"), 48
    (tmp_path / "results").rename(tmp_path / "undisturbed")

    def another():
        number = next(numbers)
        return started(lambda: go(f"of {number}", tally))

    workers, kills = [another() for _ in range(4)], 0
    while kills < 100:
        time.sleep(chance.uniform(0.1, 1.0))
        victim = workers.pop(chance.randrange(4))
        kill(victim)
        kills += ended(victim) == [-9]
        if len(found := list(Store(tmp_path / "results"))) == 48:
            for trial in chance.sample(found, 24):
                trial.folder.rename(tmp_path / f"taken {next(numbers)}")
            wanted += 24
        workers.append(another())
    assert ended(*workers) == [0] * 4
    assert ended(another()) == [0]  # the workers that ended before trials were taken away do not come back
    assert essence(tmp_path / "results") == alone
    repeated = sum(begun(tally).values()) - wanted
    print(f"{kills} kills, {repeated} trials begun again")
    assert len(begun(tally)) == 48 and 0 <= repeated <= 2 * kills  # a batch of two for each kill
    assert list((tmp_path / "results" / "claims").iterdir()) == []
