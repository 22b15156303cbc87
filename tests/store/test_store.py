"""The store: absent or whole, first writer wins, damage is noticed and named."""

from __future__ import annotations

import hashlib
import json
import shutil

import msgspec
import numpy as np
import pytest

from reno.spec.errors import BadInput
from reno.spec.judgements import Verdict
from reno.store.files import FILES
from reno.store.records import SCHEMA, JobRecord, JudgedTrial, JudgementRecord, TrialRecord, read_json, record_bytes
from reno.store.store import Finished, Store, write_job_record
from reno.store.stored import (
    BROKEN,
    OTHER_VERSION,
    UNREADABLE,
    Damaged,
    Stored,
    checked,
    judge_folder,
    read_trial,
    whole,
)
from tests.store.records import ID, finished, golden, record


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "results")
    store.prepare()
    return store


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


# --- Damage -----------------------------------------------------------------------------------------------------------


def damage(store) -> str:
    """Why the trial cannot be used."""
    found = store.find(ID)
    assert isinstance(found, Damaged) and (found.trial, found.folder) == (ID, store.trials / ID)
    (same,) = store
    assert same == found
    with pytest.raises(BadInput) as refused:
        whole(found)
    assert str(refused.value) == found.sentence
    remedy = REMAKE if found.state == BROKEN else "use another results=DIR"
    assert found.sentence == f"the trial in {found.folder} {found.state}: {found.why}; {remedy}"
    return found.why


REMAKE = "the command that made it, typed again, moves it to damaged/ and makes it again"


@pytest.mark.parametrize("name", [*FILES, "trial.json"])
def test_a_missing_or_cut_file_is_damage(store, name):
    path = store.commit(finished()).folder / name
    data = path.read_bytes()[:-7]
    path.write_bytes(data)
    size = f"{name} has {len(data)} bytes, which is not the recorded size"
    assert damage(store).startswith("trial.json cannot be used: it is not JSON" if name == "trial.json" else size)
    path.unlink()
    assert damage(store) == f"{name} is missing"
    path.mkdir()
    why = f"{name} has {path.stat().st_size} bytes, which is not the recorded size"
    assert damage(store) == (f"{name} is a folder, not a file" if name == "trial.json" else why)


def rewrite(store, change):
    """Stores a trial and writes its record again after change(values)."""
    path = store.commit(finished()).folder / "trial.json"
    values = read_json(path)
    path.write_text(json.dumps(change(values) or values))


def test_a_record_of_another_schema_names_both(store):
    rewrite(store, lambda values: values.update(schema=99))
    assert damage(store) == "it has schema 99 and this version reads 1"
    assert store.find(ID).state == OTHER_VERSION


@pytest.mark.parametrize(
    "change",
    [
        lambda values: ["no object"],
        lambda values: values.update(id="cd" * 32),
        lambda values: values.pop("id") and None,
    ],
)
def test_a_record_of_another_trial_is_damage(store, change):
    rewrite(store, change)
    assert damage(store) == "trial.json is not the record of this trial"


def test_a_record_with_a_wrong_value_names_it(store):
    rewrite(store, lambda values: values["spec"].update(seed="x"))
    assert damage(store) == "trial.json is not a trial's record (Expected `int`, got `str` - at `$.spec.seed`)"


def test_a_record_that_is_no_text_is_damage(store):
    (store.commit(finished()).folder / "trial.json").write_bytes(b"\xff\xfe\x00")
    assert damage(store) == "trial.json cannot be used: it is not a text in UTF-8"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "it is empty"),
        (b"[" * 100_000, "it has more than 50 lists or objects inside one another"),
        (b'{"a": "]", "b":' + b'{"a":' * 60 + b"1" + b"}" * 61, "it has more than 50 lists or objects"),
        (b'{"seed": 1e999}', "1e999 is larger than any number that can be read"),
        (b'{"seed": NaN}', "NaN is not a number that JSON has"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
    ],
)  # fmt: skip
def test_json_of_an_odd_kind_is_damage(store, text, why):
    (store.commit(finished()).folder / "trial.json").write_bytes(text)
    assert damage(store).startswith(f"trial.json cannot be used: {why}")


def test_brackets_in_a_text_are_no_nesting(store):
    """Also in a file of an older version, which has no digest of its own."""
    stored = store.commit(finished(record=record(prompt="] } a [ car" * 60)))
    path = stored.folder / "trial.json"
    path.write_bytes(record_bytes(read_json(path)))
    assert store.find(stored.id) == stored


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda values: values["spec"].update(seed=2), "trial.json has another spec than the one that the trial's id"),
        (lambda values: values["spec"]["method"].update(lr=9.0), "trial.json has another spec than the one"),
        (lambda values: values.update(best_iteration=9), "trial.json has best_iteration 9 of 9 images"),
        (lambda values: values.update(best_iteration=10**30), "trial.json is not a trial's record"),
        (lambda values: values["timings"].update(images=0), "trial.json is not a trial's record (Expected `int` >= 1"),
        (lambda values: values["judgements"]["oracle"]["best"]["judgements"].pop(), "trial.json is not a trial's rec"),
        (lambda values: values["bindings"].pop(), "trial.json has a judgement by oracle that is not about"),
    ],
)  # fmt: skip
def test_a_record_whose_values_do_not_fit_together_is_damage(store, change, why):
    """Of an older version: one of this version has a digest of its own."""
    rewrite(store, lambda values: change(values) and None)
    assert damage(store).startswith(why)


def test_one_changed_bit_of_any_file_is_damage_and_an_old_record_is_read_without_its_own_digest(store):
    stored = store.commit(finished())
    numbers = np.random.default_rng(0)
    for name in (*FILES, "trial.json"):
        path = stored.folder / name
        data = path.read_bytes()
        for place in numbers.integers(0, 8 * len(data), 20):
            flipped = bytearray(data)
            flipped[place // 8] ^= 1 << place % 8
            path.write_bytes(flipped)
            (found,) = checked(store)
            assert isinstance(found, Damaged) or (name == "trial.json" and found == stored), (name, place)
        path.write_bytes(data)
    path.write_bytes(record_bytes(read_json(path)))
    assert b'\n "sha256"' in data and b'\n "sha256"' not in path.read_bytes()
    assert list(checked(store)) == [stored]


def test_a_file_that_the_record_does_not_list_is_damage(store):
    rewrite(store, lambda values: values["files"].pop("best.png") and None)
    assert damage(store).startswith("best.png has ")


def test_a_folder_without_a_record_is_damage(tmp_path):
    (tmp_path / "x").mkdir()
    assert read_trial(tmp_path / "x") == Damaged("x", tmp_path / "x", "trial.json is missing")


def flip(path):
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(bytes(data))


def refusal(call):
    with pytest.raises(BadInput, match=r"^the trial in .* is damaged: ") as refused:
        call()
    assert str(refused.value).endswith(REMAKE)
    return str(refused.value).partition("is damaged: ")[2].partition(";")[0]


def test_a_flipped_byte_is_found_by_reading_everything(store):
    stored = store.commit(finished())
    flip(stored.folder / "best.png")
    assert store.find(ID).damage().why == "best.png is not what was written"
    assert store.find(ID).damage(["initial.png"]) is None
    assert refusal(lambda: stored.image("best")) == "best.png is not what was written"
    stored.image("initial")


def test_images_that_are_fewer_than_the_iterations_are_damage(store):
    stored = store.commit(finished(frames=finished().frames[:3]))
    assert refusal(stored.frames) == "frames.webp has 3 images of 4 iterations"


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("trace.parquet", Stored.trace),
        ("trace.parquet", Stored.frames),
        ("frames.webp", Stored.frames),
        ("noise.safetensors", Stored.noise),
        ("best.png", lambda stored: stored.image("best")),
    ],
)
def test_a_file_that_goes_or_breaks_later_is_named(store, name, read):
    stored = store.commit(finished())
    (stored.folder / name).write_bytes(b"x" * 1000)
    assert refusal(lambda: read(stored)) == f"{name} is not what was written"
    (stored.folder / name).unlink()
    assert refusal(lambda: read(stored)) == f"{name} is missing"


def test_a_damaged_trial_is_moved_aside_and_made_again(store):
    stored = store.commit(finished())
    flip(stored.folder / "best.png")
    before = {path.name: path.read_bytes() for path in stored.folder.iterdir()}
    (damaged,) = checked(store)
    assert store.set_aside(damaged).startswith(f"the trial {ID[:12]} was damaged: best.png is not what was written")
    (moved,) = (store.root / "damaged" / "trials").iterdir()
    assert moved.name.startswith(ID) and {path.name: path.read_bytes() for path in moved.iterdir()} == before
    assert store.set_aside(damaged) is None and list(store) == []
    again = store.commit(finished())
    assert store.set_aside(damaged) is None and list(store) == [again], "another process has made it again"


@pytest.mark.parametrize("spoil", [lambda folder: (folder / "trial.json").unlink(), "file", "link"])
def test_what_is_damaged_in_its_place_does_not_stop_a_trial_from_being_stored(store, spoil):
    """Another process left it there while this one ran."""
    place = store.commit(finished()).folder
    if callable(spoil):
        spoil(place)
    else:
        shutil.rmtree(place)
        place.touch() if spoil == "file" else place.symlink_to(store.root / "nowhere")
    assert store.commit(finished()) == store.find(ID)
    assert len(list((store.root / "damaged" / "trials").iterdir())) == 1


def test_what_may_not_be_read_is_not_taken_to_be_absent(store, mortal):
    store.commit(finished())
    store = Store(mortal(store.root))
    (store.trials / ID).chmod(0)
    for found in (store.find(ID), *store):
        assert (found.state, found.why) == (UNREADABLE, "trial.json: Permission denied")
    (store.trials / ID).chmod(0o700)
    (store.trials / ID / "best.png").chmod(0)
    (found,) = checked(store)
    assert (found.state, found.why) == (UNREADABLE, "best.png: Permission denied")
    store.trials.chmod(0)
    assert store.find(ID).state == UNREADABLE
    for reading in (lambda: list(store), lambda: store.match(ID[:9])):
        with pytest.raises(BadInput, match=r"trials cannot be read \(Permission denied\); give yourself the right"):
            reading()


# --- Later judgements -------------------------------------------------------------------------------------------------


def verdict(score):
    return Verdict((), {}, score)


TORN = {"faults": {}, "judgements": [{
    "attribute": "a", "object": "b", "object_present": True, "attribute_present": True, "bound": True,
    "object_confidence": 1.0, "attribute_confidence": 1.0, "bound_confidence": 1.0,
}]}  # fmt: skip


def later(stored, judge="vqa", identity=None, judged="2026-01-01", **changes):
    values = {
        "trial": stored.id, "judge": judge, "images": stored.image_digests(), "kin": "blip",
        "identity": {"version": 1} if identity is None else identity, "initial": verdict(0.1), "best": verdict(0.2),
        "judged": judged,
    }  # fmt: skip
    return JudgementRecord(**{**values, **changes})


def test_a_later_judgement_is_added_and_the_trial_stays_as_it_is(store):
    stored = store.commit(finished())
    before = {path.name: path.read_bytes() for path in stored.folder.iterdir()}
    assert not stored.judged_by("vqa", {"version": 1})
    store.add_judgement(later(stored))
    assert stored.judged_by("vqa", {"version": 1})
    assert not stored.judged_by("vqa", {"version": 2}) and not stored.judged_by("detector", {"version": 1})
    assert stored.judgements()["vqa"] == JudgedTrial(
        kin="blip", initial=verdict(0.1), best=verdict(0.2), identity={"version": 1}
    )
    assert stored.judgements()["oracle"] == stored.record.judgements["oracle"]
    assert {path.name: path.read_bytes() for path in stored.folder.iterdir()} == before
    folder = judge_folder(store.root, "vqa", {"version": 1})
    assert [path.name for path in folder.iterdir()] == [f"{ID}.json"] and folder.parent == store.root / "judgements"


def test_what_the_record_says_counts_as_judged(store):
    stored = store.commit(finished())
    identity = stored.record.judgements["oracle"].identity
    assert stored.judged_by("oracle", identity)
    assert not stored.judged_by("oracle", {**identity, "version": 2}) and not stored.judged_by("other", identity)


def test_of_several_identities_the_one_that_judged_last_speaks(store):
    stored = store.commit(finished())
    for version, day in ((1, "03"), (2, "09"), (3, "05")):
        store.add_judgement(later(stored, "oracle", {"version": version}, f"2026-01-{day}", kin=str(version)))
    assert stored.judgements()["oracle"].kin == "2"
    assert len(list((store.root / "judgements").iterdir())) == 3


def test_a_judgement_of_other_images_does_not_count_and_is_moved_aside(store):
    stored = store.commit(finished())
    store.add_judgement(later(stored, images={"initial": "ff", "best": "ff"}))
    assert not stored.judged_by("vqa", {"version": 1}) and stored.later() == ([], [])
    store.add_judgement(later(stored))
    assert stored.judged_by("vqa", {"version": 1})
    assert len(list((store.root / "damaged" / "judgements").rglob(f"{ID}.json-*"))) == 1
    (store.root / "judgements" / "a file").touch()
    assert set(stored.judgements()) == {*stored.record.judgements, "vqa"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "it is not JSON"), ("[]", "Expected `object`"), ('{"trial": 3}', "Expected `str`, got `int`"),
        (None, "it is a folder, not a file"), ({"kin": "clip"}, "it is not what was written"),
        ({"trial": "x"}, "it is not the one of this trial and judge"),
        ({"identity": {"version": 9}}, "it is not the one of this trial and judge"),
        ({"best": {"judgements": [], "faults": {}}}, "the initial and the best image are judged for different"),
        ({"best": TORN, "initial": TORN}, "it is not about the prompt's bindings"),
    ],
)  # fmt: skip
def test_a_damaged_judgement_is_named_and_another_takes_its_place(store, text, why):
    stored = store.commit(finished())
    whole = stored.record.judgements["oracle"]
    given = later(stored, initial=whole.initial, best=whole.best)
    store.add_judgement(given)
    path = judge_folder(store.root, "vqa", {"version": 1}) / f"{ID}.json"
    if text is None:
        path.unlink()
        path.mkdir()
    elif isinstance(text, str):
        path.write_text(text)
    elif "kin" in text:
        path.write_bytes(path.read_bytes().replace(b'"kin": "blip"', b'"kin": "clip"'))
    else:
        path.write_text(json.dumps(read_json(path) | text))
    assert set(stored.judgements()) == set(stored.record.judgements)
    good, (damaged,) = stored.later()
    assert good == [] and damaged == stored.judgement_by("vqa", {"version": 1})
    assert (damaged.folder, damaged.state) == (path, BROKEN) and damaged.why.startswith(why)
    assert damaged.sentence.endswith("reno.evaluate moves it to damaged/ and judges the trial again")
    store.add_judgement(given)
    assert stored.later() == ([given], [])


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
