"""Stores are joined whole: nothing is lost, changed or half there, and what differs is named."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec
import pytest

from reno.merge import main
from reno.store import merging
from reno.store.records import JobRecord, JudgementRecord
from reno.store.store import Store, write_job_record
from reno.store.stored import Stored
from tests.store.records import ID, finished, golden, record, trace


def made(root, *seeds, **changes):
    store = Store(root)
    store.prepare()
    return [store.commit(finished(seed=seed, **changes)) for seed in seeds]


def judgement(trial, **changes):
    whole = JudgementRecord.from_json(golden("judgement"))
    return msgspec.structs.replace(whole, trial=trial.id, images=trial.image_digests(), **changes)


@pytest.fixture
def join(tmp_path, monkeypatch, capsys):
    """join(*stores): the exit status of a merge of these folders into `all`, its last line, and its warnings."""
    monkeypatch.chdir(tmp_path)

    def go(*stores):
        capsys.readouterr()
        status = main([*stores, "results=all"])
        said = capsys.readouterr()
        return status, (said.out.splitlines() or [""])[-1], said.err

    return go


def contents(root):
    trials = Store(Path(root)).whole()
    return {trial.id: {path.name: path.read_bytes() for path in trial.folder.iterdir()} for trial in trials}


def test_all_trials_judgements_and_jobs_are_there_bit_for_bit(tmp_path, join):
    (one, two), (three,) = made(tmp_path / "a", 1, 2), made(tmp_path / "b", 3)
    Store(tmp_path / "b").add_judgement(judgement(three))
    for store, name in (("a", "2026-11-01"), ("b", "2026-11-02/0")):
        (tmp_path / store / "jobs" / name).mkdir(parents=True)
        write_job_record(tmp_path / store / "jobs" / name, JobRecord.from_json(golden("job")))
    (tmp_path / "a/jobs/2026-11-01/job.log").write_text("so it went")
    (tmp_path / "b/jobs/2026-11-02/contact_sheet.png").write_bytes(b"png")
    assert join("a", "b")[:2] == (
        0,
        "all: 3 trials, 1 judgements and 2 jobs added, 0 were there, 0 conflicts, 0 damaged",
    )
    assert contents("all") == contents("a") | contents("b")
    assert set(contents("all")) == {one.id, two.id, three.id}
    assert Store(tmp_path / "all").find(three.id).later()[0] == [judgement(three)]
    for file in ("a/jobs/2026-11-01/job.log", "a/jobs/2026-11-01/job.json", "b/jobs/2026-11-02/contact_sheet.png"):
        assert (tmp_path / "all" / file[2:]).read_bytes() == (tmp_path / file).read_bytes()
    assert join("a", "b")[:2] == (
        0,
        "all: 0 trials, 0 judgements and 0 jobs added, 6 were there, 0 conflicts, 0 damaged",
    )
    assert list((tmp_path / "all" / "staging").iterdir()) == []


def test_on_one_disk_files_are_links_and_elsewhere_copies(tmp_path, join, monkeypatch):
    (trial,) = made(tmp_path / "a", 1)
    join("a")
    assert os.path.samefile(trial.folder / "frames.webp", tmp_path / "all" / "trials" / trial.id / "frames.webp")
    shutil.rmtree(tmp_path / "all")

    def refused(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refused)
    assert join("a")[0] == 0
    assert not os.path.samefile(trial.folder / "frames.webp", tmp_path / "all" / "trials" / trial.id / "frames.webp")
    assert contents("all") == contents("a")


def test_another_result_under_one_id_is_named_and_the_one_that_is_there_stays(tmp_path, join):
    made(tmp_path / "a", 1)
    other = record(seed=1)
    scores = msgspec.structs.replace(other.scores, best={"clip": 1.5})
    made(tmp_path / "b", 1, record=msgspec.structs.replace(other, scores=scores))
    made(tmp_path / "c", 1, side=20)
    status, last, warned = join("a", "b", "c")
    assert (status, last) == (1, "all: 1 trials, 0 judgements and 0 jobs added, 0 were there, 2 conflicts, 0 damaged")
    assert contents("all") == contents("a")
    assert f"the trial {record(seed=1).id[:12]} of b has another result than the one in all/trials/" in warned


def test_the_same_result_made_twice_is_no_conflict_though_its_times_differ(tmp_path, join):
    made(tmp_path / "a", 1)
    slower = [row | {"seconds": 9.0} for row in trace(4)]
    made(tmp_path / "b", 1, trace=slower)
    assert join("a", "b")[:2] == (
        0,
        "all: 1 trials, 0 judgements and 0 jobs added, 1 were there, 0 conflicts, 0 damaged",
    )
    made(tmp_path / "c", 1, trace=[row | {"loss": 0.5} for row in trace(4)])
    assert join("c")[0] == 1


def test_a_changed_byte_is_named_and_its_trial_left_out(tmp_path, join):
    one, two = made(tmp_path / "a", 1, 2)
    data = bytearray((one.folder / "best.png").read_bytes())
    data[-20] ^= 1
    (one.folder / "best.png").write_bytes(data)
    status, last, warned = join("a")
    assert (status, set(contents("all"))) == (1, {two.id})
    assert f"warning: the trial in a/trials/{one.id} is damaged: best.png is not what was written" in warned
    assert "1 damaged" in last


def test_a_judgement_of_other_images_or_with_another_verdict_is_not_taken(tmp_path, join):
    (one,), (other,) = made(tmp_path / "a", 1), made(tmp_path / "b", 1, side=20)
    Store(tmp_path / "b").add_judgement(judgement(other))
    join("a", "b")
    assert not (tmp_path / "all" / "judgements").exists()
    said = judgement(one)
    Store(tmp_path / "a").add_judgement(said)
    assert join("a")[1].startswith("all: 0 trials, 1 judgements")
    shutil.rmtree(tmp_path / "a" / "judgements")
    changed = msgspec.structs.replace(said, initial=said.best, best=said.initial)
    assert changed != said
    Store(tmp_path / "a").add_judgement(changed)
    status, _, warned = join("a")
    assert status == 1 and f"the judgement of {one.id[:12]} by {said.judge} in all is another one, and stays" in warned
    assert Store(tmp_path / "all").find(one.id).later()[0] == [said]


def test_a_job_that_ran_is_brought_up_to_date_and_never_back(tmp_path, join):
    made(tmp_path / "a", 1)
    whole = JobRecord.from_json(golden("job"))
    (tmp_path / "a/jobs/1").mkdir(parents=True)
    place = tmp_path / "all/jobs/1/job.json"
    write_job_record(tmp_path / "a/jobs/1", msgspec.structs.replace(whole, status=None))
    (tmp_path / "a/jobs/1/job.log").write_text("begun")
    join("a")
    write_job_record(tmp_path / "a/jobs/1", whole)
    (tmp_path / "a/jobs/1/job.log").write_text("begun, done")
    join("a")
    assert merging._job(place) == whole and (place.parent / "job.log").read_text() == "begun, done"
    write_job_record(tmp_path / "a/jobs/1", msgspec.structs.replace(whole, status=None))
    assert join("a")[0] == 0 and merging._job(place) == whole
    write_job_record(tmp_path / "a/jobs/1", msgspec.structs.replace(whole, command="another"))
    assert join("a")[0] == 1 and merging._job(place) == whole


def test_a_stopped_merge_leaves_whole_trials_and_goes_on(tmp_path, join, monkeypatch):
    made(tmp_path / "a", 1, 2, 3)
    rename, done = merging.Path.rename, []

    def stopped(path, place):
        if "trials" in str(place) and len(done) == 1:
            raise KeyboardInterrupt
        done.append(place)
        return rename(path, place)

    monkeypatch.setattr(merging.Path, "rename", stopped)
    assert join("a")[0] == 130
    monkeypatch.setattr(merging.Path, "rename", rename)
    found = list(Store(tmp_path / "all"))
    assert len(found) == 1 and all(isinstance(one, Stored) and one.damage() is None for one in found)
    assert join("a")[:2] == (0, "all: 2 trials, 0 judgements and 0 jobs added, 1 were there, 0 conflicts, 0 damaged")


def test_a_trial_that_is_damaged_where_it_goes_stays_and_is_named(tmp_path, join):
    made(tmp_path / "a", 1)
    made(tmp_path / "all", 1)
    (tmp_path / "all" / "trials" / ID / "best.png").unlink()
    status, _, warned = join("a")
    assert status == 1 and f"the trial in all/trials/{ID} is damaged (best.png is missing), and stays" in warned


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a", "nothing", "results=all"], "nothing is no store: it has no folder trials; give a folder that reno.run"),
        (["a"], "results is empty; name the folder that gets what the stores hold"),
        (["results=all"], "no store is named; type python -m reno.merge STORE [STORE ...] results=DIR"),
        (["a", "a", "results=all"], "twice"),
        (
            ["a", "stores=b", "results=all"],
            "stores= is typed beside a; name all stores without it: python -m reno.merge",
        ),
        (["a", "results=a/sub"], "results=a/sub lies in the store a; give a folder outside the stores"),
        (["a", "b", "results=b"], "b is the store of results=; leave it out of the stores"),
        (["memory://st", "results=memory://st"], "error: memory://st is the store of results="),
    ],
)
def test_what_cannot_be_joined_is_refused_before_anything_is_written(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "a", 1)
    made(tmp_path / "b")
    assert main(words) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (tmp_path / "all").exists() and contents("b") == {}
