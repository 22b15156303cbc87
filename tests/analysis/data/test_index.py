"""The frames of a store are the same with an index and without, and the index hides no damage."""

from __future__ import annotations

import dataclasses
import os
import shutil

import msgspec
import pandas as pd
import pytest

from analysis.data import from_store, load
from analysis.data import index as module
from reno.index import main
from reno.store.records import JudgementRecord
from reno.store.store import Store
from scripts.synthesise_store import synthesise
from tests.store.records import finished, golden


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store of 120 made-up trials with failed ones, and a few real records among them."""
    root = tmp_path_factory.mktemp("index") / "results"
    synthesise(root, 120, seed=1)
    store = Store(root)
    for seed in range(3):
        trial = store.commit(finished(seed=seed))
    said = JudgementRecord.from_json(golden("judgement"))
    store.add_judgement(msgspec.structs.replace(said, trial=trial.id, images=trial.image_digests()))
    return root


@pytest.fixture
def root(made, tmp_path):
    return shutil.copytree(made, tmp_path / "results", copy_function=os.link)


def index(root, capsys=None):
    assert main([f"results={root}"]) == 0


def same(one, other):
    """Whether all that was read of two stores is the same, to the type."""
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, pd.DataFrame):
            pd.testing.assert_frame_equal(a, b)
        elif field.name not in ("root", "damaged", "indexed"):
            assert a == b, field.name
    assert len(one.damaged) == len(other.damaged)
    same_curves(one.all_traces, other.all_traces)


def same_curves(one, other):
    pd.testing.assert_frame_equal(one, other)
    assert one.attrs == other.attrs


def read_from_files(monkeypatch):
    """The store of each trial that is read from its own files."""
    read, of = [], from_store._each

    def each(root, without):
        for found in of(root, without):
            read.append(root)
            yield found

    monkeypatch.setattr(from_store, "_each", each)
    return read


def test_the_frames_are_the_same_and_no_trial_is_opened(root, made, monkeypatch):
    plain = load(made)
    index(root)
    read = read_from_files(monkeypatch)
    same(load(root), plain)
    assert read == []


def test_a_text_that_many_rows_have_is_held_once(root):
    index(root)
    for frame in (load(root).judged, load(root).scores):
        for column in frame.select_dtypes("str"):
            assert len({id(text) for text in frame[column]}) == frame[column].nunique(), column


def test_several_parts_and_what_is_not_in_them_make_the_same_frames(root, made, monkeypatch):
    monkeypatch.setattr(module, "PART_TRIALS", 17)
    kept = sorted((root / "trials").iterdir())[::5]
    for folder in kept:
        folder.rename(root / folder.name)
    index(root)
    for folder in kept:
        (root / folder.name).rename(folder)
    read = read_from_files(monkeypatch)
    same(load(root), load(made))
    assert read.count(root) == len(kept)


def test_a_second_call_adds_a_part_for_what_is_new(root, made, capsys):
    first = next((root / "trials").iterdir())
    first.rename(root / first.name)
    index(root)
    (root / first.name).rename(first)
    index(root)
    count = len(list((root / "trials").iterdir()))
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"1 trials added to the index, {count - 1} were there")
    index(root)
    assert len(list((root / "index").iterdir())) == 2
    same(load(root), load(made))


def test_a_trial_that_is_gone_has_no_row(root, made, tmp_path):
    index(root)
    gone = sorted((root / "trials").iterdir())[7]
    shutil.rmtree(gone)
    other = shutil.copytree(root, tmp_path / "other", copy_function=os.link)
    shutil.rmtree(other / "index")
    same(load(root), load(other))
    assert gone.name not in set(load(root).trials["trial"])


@pytest.mark.parametrize("file", ["trial.json", "trace.parquet", "best.png"])
def test_damage_is_found_as_without_an_index(root, tmp_path, file):
    index(root)
    place = sorted((root / "trials").iterdir())[3] / file
    data = place.read_bytes()
    place.unlink()
    if file != "best.png":
        place.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))  # as long as before
    damaged = load(root)
    assert len(damaged.damaged) == 1 and place.parent.name in damaged.damaged[0]
    assert place.parent.name not in set(damaged.trials["trial"])
    index(root)
    assert load(root).damaged == damaged.damaged


def test_a_new_judgement_and_a_damaged_one_are_seen(root, tmp_path):
    index(root)
    (place,) = (root / "judgements").glob("*/*.json")
    place.rename(tmp_path / "kept")
    before = len(load(root).verdicts)
    shutil.copy(tmp_path / "kept", place)
    assert len(load(root).verdicts) == before + 2
    place.write_bytes(b"{}")
    index(root)
    (sentence,) = load(root).damaged
    assert place.name in sentence


def test_a_damaged_part_is_none(root, made):
    index(root)
    part = next((root / "index").iterdir())
    (part / "scores.parquet").write_bytes(b"no parquet")
    same(load(root), load(made))


@pytest.mark.parametrize("name", module.TABLES)
def test_a_bit_that_has_changed_in_a_part_changes_no_frame_and_the_part_is_made_again(root, made, name):
    index(root)
    (part,) = (root / "index").iterdir()
    file = part / f"{name}.parquet"
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 1
    file.write_bytes(data)
    same(load(root), load(made))
    index(root)
    (new,) = (root / "index").iterdir()
    assert new != part


@pytest.mark.parametrize("name", ["judged", "verdicts", "scores"])
@pytest.mark.parametrize("spoil", ["of another part", "of another table", "a folder"])
def test_a_table_in_the_place_of_another_makes_its_part_none(root, made, monkeypatch, name, spoil):
    monkeypatch.setattr(module, "PART_TRIALS", 70)
    index(root)
    first, second = (root / "index").iterdir()
    file = first / f"{name}.parquet"
    file.unlink()
    if spoil == "a folder":
        file.mkdir()
    else:
        shutil.copy(second / file.name if spoil == "of another part" else first / "trials.parquet", file)
    same(load(root), load(made))
    index(root)
    assert not first.exists() and second.exists() and len(list((root / "index").iterdir())) == 2


def test_of_two_parts_with_the_same_trials_the_older_goes(root, made):
    index(root)
    (part,) = (root / "index").iterdir()
    shutil.copytree(part, root / "index" / f"v{module.VERSION}-1-1")
    index(root)
    assert list((root / "index").iterdir()) == [part]
    same(load(root), load(made))


def test_the_user_is_told_of_the_index_where_it_would_help(made, capsys, monkeypatch):
    monkeypatch.setattr(from_store, "MANY", 100)
    load(made)
    assert f"`python -m reno.index results={made}` makes the next reading quicker" in capsys.readouterr().err


def test_an_empty_store_is_refused(tmp_path, capsys):
    (tmp_path / "trials").mkdir()
    assert main([f"results={tmp_path}"]) == 2
    assert "holds no whole trial" in capsys.readouterr().err


def test_a_part_of_which_no_trial_is_as_it_was_goes_with_the_next_call(root, made):
    index(root)
    (old,) = (root / "index").iterdir()
    for folder in (root / "trials").iterdir():
        os.utime(folder / "trial.json", (1e9, 1e9))
    index(root)
    (new,) = (root / "index").iterdir()
    assert new != old
    same(load(root), load(made))
