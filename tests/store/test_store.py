"""The store: a trial is absent or whole, the first writer wins, and each is found by its id."""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np
import pytest

from reno.spec.errors import BadInput
from reno.store.files import FILES
from reno.store.records import SCHEMA, JobRecord, TrialRecord, read_json
from reno.store.store import Finished, Store, write_job_record
from reno.store.stored import Damaged, Stored
from tests.store.records import ID, finished, golden, record


def test_a_trial_comes_back_as_it_was(store):
    given = finished()
    committed = store.commit(given)
    found = store.find(ID)
    assert committed == found and isinstance(found, Stored) and found.id == ID
    assert found.record.spec.prompt == "../x/\n<script>🐶"
    assert msgspec.structs.replace(found.record, files={}) == given.record
    assert found.trace()["score"].tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(found.image("initial"), given.frames[0])
    np.testing.assert_array_equal(found.image("best"), given.frames[2])
    for frame, expected in zip(found.frames(), given.frames, strict=True):
        np.testing.assert_array_equal(frame, expected)
    np.testing.assert_array_equal(found.noise()["initial"], given.initial_noise)
    np.testing.assert_array_equal(found.noise()["best"], given.best_noise)
    assert found.damage() is None
    assert sorted(path.name for path in found.folder.iterdir()) == sorted([*FILES, "trial.json"])
    assert [stored.id for stored in store] == [ID]


def test_a_record_has_the_size_and_digest_of_every_file(store):
    found = store.commit(finished())
    assert set(found.record.files) == set(FILES) and found.record.schema == SCHEMA
    for name, entry in found.record.files.items():
        data = (found.folder / name).read_bytes()
        assert (entry.bytes, entry.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert found.image_digests() == {which: found.record.files[f"{which}.png"].sha256 for which in ("initial", "best")}


def test_the_first_of_two_wins_and_nothing_is_left(store):
    first = store.commit(finished(count=4))
    assert store.commit(finished(count=5)) == first
    assert len(store.find(ID).trace()) == 4
    assert list(store.staging.iterdir()) == []


def test_a_trial_that_cannot_be_written_leaves_nothing(store):
    store.trials.rmdir()
    store.trials.touch()
    with pytest.raises(OSError):
        store.commit(finished())
    assert list(store.staging.iterdir()) == []


def test_trials_come_in_the_order_of_their_ids_and_files_are_none(store):
    ids = sorted(store.commit(finished(seed=seed)).id for seed in range(3))
    (store.trials / ".DS_Store").touch()
    (store.trials / ids[1][:1]).mkdir()
    (store.trials / ("f" * 64)).touch()  # a file where a trial should be
    found = list(store)
    names = [one.trial if isinstance(one, Damaged) else one.id for one in found]
    assert names == sorted([*ids, ids[1][:1], "f" * 64])
    assert found[-1].why == "it is a file, not a folder"
    assert [one.id for one in store.whole()] == ids


def test_a_store_that_is_not_there_holds_nothing(tmp_path):
    assert list(Store(tmp_path / "none")) == [] and Store(tmp_path / "none").find(ID) is None


@pytest.mark.parametrize("side", [8, 160])
def test_a_trial_in_which_nothing_moves_has_an_image_an_iteration(store, side):
    """Its animation is stored as one still."""
    given = finished(side=side)
    found = store.commit(finished(side=side, frames=[given.frames[0]] * 4))
    assert len(found.frames()) == len(found.trace()) == 4
    assert len({frame.tobytes() for frame in found.frames()}) == 1


def test_a_text_that_is_no_unicode_comes_back_as_it_was(store):
    """Bytes that are no text reach a command's words as lone surrogates."""
    stored = store.commit(finished(record=record(prompt="a red \ud800 car")))
    assert store.find(stored.id).record.spec.prompt == "a red \ud800 car"


def test_a_trial_is_found_by_the_start_of_its_id(store):
    store.commit(finished())
    (store.trials / f"{ID[:2]}x").mkdir()
    assert store.match(ID[:9]).id == ID
    with pytest.raises(BadInput, match=r"2 trials in .* have ids that start with '..'; give more of the id"):
        store.match(ID[:2])
    for nothing in ("fff", ""):
        with pytest.raises(BadInput, match=f"no trial in .* has an id that starts with {nothing!r}"):
            store.match(nothing)
    (store.trials / ID / "best.png").unlink()
    with pytest.raises(BadInput, match=r"best\.png is missing"):
        store.match(ID[:9])


def test_a_results_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"cannot be written \(.*\); give another folder: results=DIR"):
        Store(tmp_path / "file").prepare()


# --- The job's record -------------------------------------------------------------------------------------------------


def test_a_jobs_record_is_written_whole(tmp_path):
    job = JobRecord.from_json(golden("job"))
    write_job_record(tmp_path, job)
    assert [path.name for path in tmp_path.iterdir()] == ["job.json"]
    assert JobRecord.from_json(read_json(tmp_path / "job.json")) == job


def test_a_golden_trial_is_whole_once_its_files_are_there(store):
    """The whole chain from a record of an earlier version: its digests are then not those of these files."""
    values = golden("trial_whole")
    given = TrialRecord.from_json(values)
    stored = store.commit(Finished(given, *(getattr(finished(), name) for name in (
        "trace", "frames", "best", "initial_noise", "best_noise"
    ))))  # fmt: skip
    assert store.find(given.id) == stored and stored.record.trial.id == given.id


def test_a_link_that_leads_in_a_circle_is_no_trial(tmp_path):
    (tmp_path / "trials").mkdir()
    (tmp_path / "trials" / "loop").symlink_to("loop")
    assert list(Store(tmp_path)) == []
