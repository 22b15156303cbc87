"""A stored trial that is damaged, or may not be read, is noticed, named, and moved aside to be made again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from reno.spec.errors import BadInput
from reno.store.files import FILES
from reno.store.records import read_json, record_bytes
from reno.store.store import Store
from reno.store.stored import BROKEN, OTHER_VERSION, UNREADABLE, Damaged, Stored, checked, read_trial, whole
from tests.store.records import ID, finished, record


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


def test_a_large_store_is_read_some_trials_at_a_time():
    taken = []

    def trials():
        for number in range(5000):
            taken.append(number)
            yield Damaged(f"{number}", Path("nowhere"), "why", BROKEN)

    seen = checked(trials())
    for number in range(3000):
        assert next(seen).trial == f"{number}"
        assert len(taken) <= number + 1024
    assert len(list(seen)) == 2000
