"""A store elsewhere: a trial is whole when its record is there, nothing is lost, and only what is new is fetched."""

from __future__ import annotations

import json
import os

import msgspec
import pytest

from reno.spec.errors import BadInput
from reno.store.copies import copy_of
from reno.store.files import FILES
from reno.store.records import JobRecord, JudgementRecord
from reno.store.store import Store, write_job_record
from reno.store.stored import Damaged, Stored
from tests.store.elsewhere import There
from tests.store.records import finished, golden, record, trace


@pytest.fixture
def there(monkeypatch, tmp_path):
    return There(monkeypatch, tmp_path)


def ready(store: Store) -> Store:
    store.prepare()
    return store


def record_of(trial: str) -> str:
    return f"trials/{trial}/trial.json"


def judgement_of(trial: Stored) -> JudgementRecord:
    said = JudgementRecord.from_json(golden("judgement"))
    return msgspec.structs.replace(said, trial=trial.id, images=trial.image_digests(), judged="2026-01-01")


def cut_off(*_):
    raise OSError("the line is cut")


# --- Sending ----------------------------------------------------------------------------------------------------------


def test_the_layout_there_is_that_of_a_folder_and_the_record_is_written_last(there):
    store = ready(there.machine("one"))
    there.written.clear()
    trial = store.commit(finished())
    assert there.written[-1] == record_of(trial.id)
    assert there.held() == sorted(f"trials/{trial.id}/{name}" for name in (*FILES, "trial.json"))
    for path in trial.folder.iterdir():
        assert there.fs.cat_file(f"study/trials/{trial.id}/{path.name}") == path.read_bytes()


def test_an_upload_that_breaks_leaves_nothing_that_looks_whole_and_is_made_up_for(there):
    store = ready(there.machine("one"))
    there.refuses = lambda key: key.endswith(("frames.webp", "noise.safetensors"))
    trial = store.commit(finished())
    assert record_of(trial.id) not in there.held() and len(there.held("trials")) == 3
    assert "the line is cut" in store.send()[0] and str(store.root) in store.send()[0]
    other = there.machine("two")
    other.catch_up()
    assert list(other) == []

    there.refuses = lambda key: False
    copies_forgotten = there.machine("one")  # a new process: what waits is found by comparing
    copies_forgotten.copy.waiting.clear()
    copies_forgotten.catch_up()
    assert list(copies_forgotten.copy.waiting) == [record_of(trial.id)]
    assert copies_forgotten.send() == [] and len(there.held("trials")) == 6
    other.catch_up()
    assert [one.id for one in other] == [trial.id]


def test_a_request_that_fails_once_is_tried_again(there):
    store, failures = ready(there.machine("one")), ["x"]
    there.refuses = lambda key: key.endswith("best.png") and bool(failures) and bool(failures.pop())
    store.commit(finished())
    assert store.copy.waiting == {} and len(there.held("trials")) == 6


def test_a_store_that_is_away_does_not_hold_each_request_up(there):
    remote, tried = there.machine("one").copy.remote, []
    there.refuses = lambda key: tried.append(key) is None
    for key in ("a", "b"):
        with pytest.raises(OSError, match="the line is cut"):
            remote.write(key, b"")
    assert tried == ["a", "a", "a", "b"]
    there.refuses = lambda key: False
    remote.write("c", b"")
    there.refuses = lambda key: tried.append(key) is None
    with pytest.raises(OSError, match="the line is cut"):
        remote.write("d", b"")
    assert tried[4:] == ["d", "d", "d"]


def test_the_first_of_two_trials_stays(there):
    one, two = ready(there.machine("one")), ready(there.machine("two"))
    first = one.commit(finished())
    before = there.fs.cat(there.fs.find("study"))
    two.commit(finished(trace=trace(3), count=3, best=2))
    assert there.fs.cat(there.fs.find("study")) == before
    two.catch_up()
    assert two.find(first.id).record == first.record
    assert two.find(first.id).trace().equals(first.trace())


def test_two_that_are_sent_at_once_end_as_one_whole_trial(there):
    one, two = ready(there.machine("one")), ready(there.machine("two"))
    late = finished(count=3, trace=trace(3))
    exists = two.copy.remote.exists

    def slow(key):  # the other one is sent between the look and the record
        answer = exists(key)
        one.commit(finished())
        return answer

    two.copy.remote.exists = slow
    trial = two.commit(late)
    third = there.machine("three")
    third.catch_up(files=FILES)
    (whole,) = third
    assert whole.damage() is None and whole.record == trial.record


def test_the_second_of_two_that_are_equal_but_for_times_takes_the_firsts_record(there):
    """The records are as long as each other, so that only their times of writing tell them apart."""
    one, two = ready(there.machine("one")), ready(there.machine("two"))
    times = [msgspec.structs.replace(record(1), finished=f"2026-11-28T0{hour}:00:00+00:00") for hour in (1, 2)]
    exists = two.copy.remote.exists

    def slow(key):
        answer = exists(key)
        one.commit(finished(record=times[0]))
        return answer

    two.copy.remote.exists = slow
    mine = two.commit(finished(record=times[1]))
    two.catch_up()
    assert two.find(mine.id).record.finished == times[0].finished


def test_nothing_is_written_where_nothing_can_be(there):
    there.refuses = lambda key: True
    store = there.machine("one")
    with pytest.raises(BadInput, match=r"results=memory://study cannot be written .*the line is cut"):
        store.prepare()
    assert not store.root.exists()


# --- Fetching ---------------------------------------------------------------------------------------------------------


def test_only_records_are_fetched_once_and_other_files_when_they_are_read(there):
    made = [ready(there.machine("one")).commit(finished(seed=seed)) for seed in range(5)]
    two = there.machine("two")
    there.asked.clear()
    two.catch_up([made[0].id, made[1].id])
    assert there.asked["cat"] == 2
    assert {one.id for one in two} == {made[0].id, made[1].id}
    two.catch_up()
    assert there.asked["cat"] == 5
    two.catch_up()
    assert there.asked["cat"] == 5
    (found,) = [one for one in two if one.id == made[2].id]
    assert found.damage() is None and there.asked["cat"] == 5  # nothing is fetched to be checked
    assert (found.image("best") == made[2].image("best")).all()
    found.image("best")
    assert there.asked["cat"] == 6
    two.catch_up(files=["trace.parquet"])
    assert there.asked["cat"] == 11
    assert {path.name for path in found.folder.iterdir()} == {"trial.json", "best.png", "trace.parquet"}


def test_what_this_machine_has_sent_is_not_fetched_again(there):
    store = ready(there.machine("one"))
    store.commit(finished())
    there.asked.clear()
    store.catch_up()
    assert there.asked["cat"] == 0 and store.copy.waiting == {}


def test_a_record_of_the_same_size_that_has_changed_is_fetched_with_its_files(there):
    first = ready(there.machine("one")).commit(finished())
    two = there.machine("two")
    two.catch_up(files=FILES)
    again = msgspec.structs.replace(finished().record, finished="2026-01-01T00:00:01+00:00")
    one = there.machine("one")
    one.set_aside(Damaged(first.id, first.folder, "")) or one._move_aside(first.folder)
    there.fs.rm("/study/trials", recursive=True)
    remade = one.commit(finished(record=again))
    two.catch_up()
    assert two.find(first.id).record == remade.record
    assert os.listdir(two.trials / first.id) == ["trial.json"]


def test_a_trial_that_is_removed_there_is_removed_here_unless_it_is_whole(there):
    one = ready(there.machine("one"))
    trial = one.commit(finished())
    two = there.machine("two")
    two.catch_up()
    os.utime(two.trials / trial.id, (0, 0))
    there.fs.rm("/study/trials", recursive=True)
    two.catch_up()
    one.catch_up()
    assert list(two) == [] and isinstance(one.find(trial.id), Stored)
    assert list(one.copy.waiting) == [record_of(trial.id)]


def test_a_file_that_is_missing_there_is_damage_and_is_moved_there(there):
    trial = ready(there.machine("one")).commit(finished())
    there.fs.rm_file(f"/study/trials/{trial.id}/best.png")
    two = ready(there.machine("two"))
    two.catch_up()
    damaged = two.find(trial.id)
    assert isinstance(damaged, Damaged) and "best.png is missing" in damaged.why
    assert "is made again" in two.set_aside(damaged)
    assert there.held("trials") == [] and len(there.held("damaged")) == 5
    assert isinstance(two.commit(finished()), Stored) and len(there.held("trials")) == 6


@pytest.mark.parametrize("damage", [None, b"cut"])
def test_a_machine_that_has_a_file_sends_it_again_if_it_is_missing_or_cut_there(there, damage, capsys):
    one = ready(there.machine("one"))
    trial = one.commit(finished())
    whole = there.fs.cat(there.fs.find("study"))
    key = f"trials/{trial.id}/best.png"
    there.fs.rm_file(f"/study/{key}")
    if damage:
        there.fs.pipe_file(f"study/{key}", damage)
    one.catch_up()
    assert "1 files of trials are missing there or have a wrong size" in capsys.readouterr().err
    one.catch_up()
    assert list(one.copy.waiting) == [key] and capsys.readouterr().err == ""  # it is told once
    assert one.send() == [] and there.fs.cat(there.fs.find("study")) == whole
    one.catch_up()
    assert one.copy.waiting == {} and one.copy.lacking == {}


def test_a_file_that_is_damaged_here_is_not_sent(there):
    one = ready(there.machine("one"))
    trial = one.commit(finished())
    (trial.folder / "best.png").write_bytes(b"cut")
    one.catch_up()
    assert one.copy.waiting == {}


def test_no_file_is_sent_into_a_trial_that_was_made_again_meanwhile(there):
    one = ready(there.machine("one"))
    trial = one.commit(finished())
    there.fs.rm_file(f"/study/trials/{trial.id}/best.png")
    one.catch_up()
    there.fs.pipe_file(f"study/{record_of(trial.id)}", b"another")
    assert one.send() == [] and f"trials/{trial.id}/best.png" not in there.held()


def test_a_file_that_changed_there_is_not_taken_for_the_one_that_was_written(there):
    trial = ready(there.machine("one")).commit(finished())
    there.fs.pipe_file(f"study/trials/{trial.id}/best.png", b"another")
    two = there.machine("two")
    two.catch_up()
    with pytest.raises(BadInput, match=r"best\.png is not what was written"):
        two.find(trial.id).image("best")


def test_what_others_store_meanwhile_is_seen(there):
    two = ready(there.machine("two"))
    two.catch_up()
    trial = ready(there.machine("one")).commit(finished())
    assert two.find(trial.id) is None
    two.look([trial.id])
    assert isinstance(two.find(trial.id), Stored)


def test_no_key_leads_out_of_the_copy(there, tmp_path):
    for key in ("jobs/../../../out/job.json", "jobs//job.json", "judgements/../../x.json", "trials/../y/trial.json"):
        there.fs.store[f"/study/{key}"] = there.fs.open("/study/z", "wb")
        there.fs.pipe_file(f"/study/{key}", b"{}")
    store = there.machine("one")
    store.catch_up(files=FILES)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_object_whose_name_no_file_can_have_is_left_out_and_told(there, capsys):
    for name in ("n" * 255, "ö" * 127, "n" * 256, "ö" * 128):
        there.fs.pipe_file(f"study/judgements/{name}/x.json", b"{}")
        there.fs.pipe_file(f"study/jobs/1/{name}", b"{}")
    store = there.machine("one")
    store.catch_up(files=FILES)
    store.catch_up(files=FILES)
    assert {len(place.name) for place in store.root.glob("judgements/*")} == {255, 127}
    assert {len(place.name) for place in store.root.glob("jobs/1/*")} == {255, 127}
    assert capsys.readouterr().err.splitlines() == [
        f"warning: memory://study: 2 objects in {folder}/ have names that no file can have, and are left out"
        for folder in ("judgements", "jobs")
    ]


def test_a_store_that_cannot_be_reached_is_one_sentence(there, monkeypatch):
    store = there.machine("one")
    monkeypatch.setattr(store.copy.remote.fs, "find", lambda *_, **__: 1 / 0)
    with pytest.raises(
        BadInput, match=r"results=memory://study cannot be read \(ZeroDivisionError: division by zero\)"
    ):
        store.catch_up()


def test_a_bucket_that_is_not_there_is_no_empty_store(there, monkeypatch):
    def missing(*_, **__):
        raise FileNotFoundError("The specified bucket does not exist")

    store = there.machine("one")
    monkeypatch.setattr(there.fs, "find", missing)
    store.catch_up()  # of other kinds, a folder that is not there is the same answer
    store.copy.remote.kind = "s3"
    with pytest.raises(BadInput, match=r"cannot be read \(The specified bucket does not exist\)"):
        store.catch_up()


def test_a_missing_package_is_named_with_what_brings_it(there, monkeypatch):
    def missing(*_, **__):
        raise ImportError("no gcsfs")

    root = there.machine("one").root
    monkeypatch.setattr("fsspec.filesystem", missing)
    with pytest.raises(BadInput, match=r"gs:// needs the package gcsfs; `pip install 'reno-bench\[remote\]'`"):
        copy_of(root.with_name("gs+bucket"))


# --- Judgements and jobs ----------------------------------------------------------------------------------------------


def test_a_later_judgement_is_sent_and_the_first_one_stays(there):
    one, two = ready(there.machine("one")), ready(there.machine("two"))
    trial = one.commit(finished())
    said = judgement_of(trial)
    two.catch_up()
    for store, when in ((one, "2026-01-01"), (two, "2026-01-02")):
        store.add_judgement(msgspec.structs.replace(said, judged=when))
        assert store.send() == []
    (key,) = there.held("judgements")
    assert json.loads(there.fs.cat_file(f"study/{key}"))["judged"] == "2026-01-01"
    two.catch_up()
    assert two.find(trial.id).later()[0][0].judged == "2026-01-01"


def test_a_judgement_that_is_damaged_there_is_moved_there_and_another_takes_its_place(there, monkeypatch):
    one, two = ready(there.machine("one")), ready(there.machine("two"))
    trial = one.commit(finished())
    said = judgement_of(trial)
    one.add_judgement(said)
    assert one.send() == []
    (key,) = there.held("judgements")
    damaged = there.fs.cat_file(f"study/{key}").replace(b"2026", b"2027")
    there.fs.pipe_file(f"study/{key}", damaged)
    two.catch_up()
    again = msgspec.structs.replace(said, judged="2026-01-02")
    with monkeypatch.context() as broken:
        broken.setattr(two.copy.remote, "copy", cut_off)
        for _ in range(2):  # a batch that fails is judged again, trial by trial
            with pytest.raises(BadInput, match=rf"{key} is damaged and cannot be moved .*the line is cut"):
                two.add_judgement(again)
    two.add_judgement(again)
    assert two.send() == []
    assert [there.fs.cat_file(f"study/{moved}") for moved in there.held("damaged")] == [damaged]
    assert there.held("damaged")[0].startswith(f"damaged/{key}-")
    one.catch_up()
    assert one.find(trial.id).later() == two.find(trial.id).later() == ([again], [])


def test_a_judgement_that_another_machine_has_mended_stays(there):
    one, two = ready(there.machine("one")), ready(there.machine("two"))
    trial = one.commit(finished())
    said = judgement_of(trial)
    one.add_judgement(said)
    assert one.send() == []
    (key,) = there.held("judgements")
    there.fs.pipe_file(f"study/{key}", b"{")
    for store in (one, two):
        store.catch_up()
    for store, when in ((one, "2026-01-02"), (two, "2026-01-03")):
        store.add_judgement(msgspec.structs.replace(said, judged=when))
        assert store.send() == []
    assert json.loads(there.fs.cat_file(f"study/{key}"))["judged"] == "2026-01-02"
    assert len(there.held("damaged")) == 1


def test_the_record_of_a_job_that_ended_is_not_lost_to_the_one_of_its_beginning(there):
    one = ready(there.machine("one"))
    folder = one.root / "jobs" / "1"
    folder.mkdir(parents=True)
    begun = msgspec.structs.replace(JobRecord.from_json(golden("job")), status=None)
    write_job_record(folder, begun)
    one.copy.send_folder(folder)
    two = there.machine("two")
    two.catch_up()
    there.refuses = lambda key: True
    write_job_record(folder, JobRecord.from_json(golden("job")))
    one.copy.send_folder(folder)
    there.refuses = lambda key: False
    one.copy.waiting.clear()  # a new process
    one.catch_up()
    assert list(one.copy.waiting) == ["jobs/1/job.json"] and one.send() == []
    two.catch_up()
    assert (two.root / "jobs/1/job.json").read_bytes() == (folder / "job.json").read_bytes()


# --- The hub ----------------------------------------------------------------------------------------------------------


def test_trials_go_to_the_hub_whole_in_one_commit_and_nobody_shares(there, monkeypatch):
    """No hub is asked: the commit is what the client is called with."""
    commits = []

    class Api:
        def create_commit(self, repository, operations, *, commit_message, repo_type):
            if not commits:
                commits.append(None)
                raise PermissionError(13, "no token")
            commits.append((repository, repo_type, sorted(one.path_in_repo for one in operations)))

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    store = there.machine("one")
    store = Store(store.root.with_name("hf+datasets+me+studies+first"))
    monkeypatch.setattr(store.copy.remote, "fs", there.fs)
    store.prepare()
    made = [store.commit(finished(seed=seed)) for seed in range(2)]
    assert commits == [] and len(store.copy.waiting) == 2
    (sentence,) = store.send()
    assert "2 trials could not be sent to hf://datasets/me/studies/first (no token)" in sentence
    assert store.send() == [] and store.copy.waiting == {}
    names = [f"first/trials/{trial.id}/{name}" for trial in made for name in (*FILES, "trial.json")]
    assert commits[1:] == [("me/studies", "dataset", sorted(names))]
    with pytest.raises(OSError, match="hf:// has no conditional writes"):
        store.claims("cpu")
