"""The curves in the index are those of the trials' own traces, to the bit, and of no trial that has changed."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import re
import shutil

import msgspec
import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from analysis.data import curves as module
from analysis.data import index, load
from analysis.data.from_store import index_store
from reno.store.records import FileEntry, sealed_bytes
from reno.store.staging import own_name
from reno.store.store import Store
from reno.store.stored import read_trial
from scripts.synthesise_store import synthesise
from tests.analysis.data.test_index import same, same_curves
from tests.store.elsewhere import There
from tests.store.records import finished


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store of 40 made-up trials, and one whose scores are partly missing."""
    root = tmp_path_factory.mktemp("curves") / "results"
    synthesise(root, 40, seed=1)
    rows = [{**row, "score": None} if place % 2 else row for place, row in enumerate(finished().trace)]
    Store(root).commit(dataclasses.replace(finished(), trace=rows))
    return root


@pytest.fixture
def root(made, tmp_path):
    return shutil.copytree(made, tmp_path / "results", copy_function=os.link)


@pytest.fixture
def small(monkeypatch):
    """Parts of 17 trials, in groups of 5."""
    monkeypatch.setattr(index, "PART_TRIALS", 17)
    monkeypatch.setattr(module, "GROUP", 5)


def trace_of(root, trial):
    return root / "trials" / trial / "trace.parquet"


def spoil(place):
    """Makes a file useless, and leaves those that it is linked to."""
    place.unlink()
    place.write_bytes(b"no parquet")


def spoil_traces(root):
    """Makes every trial's own trace useless."""
    for folder in (root / "trials").iterdir():
        spoil(folder / "trace.parquet")


def rewrite(root, trial, table):
    """Gives a trial this trace, as if it had been written with it."""
    found = read_trial(root / "trials" / trial)
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    data = buffer.getvalue()
    entry = FileEntry(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    record = msgspec.structs.replace(found.record, files={**found.record.files, "trace.parquet": entry})
    for name, content in (("trace.parquet", data), ("trial.json", sealed_bytes(record))):
        (found.folder / name).unlink()
        (found.folder / name).write_bytes(content)
    assert read_trial(found.folder).damage() is None


def middle_of_the_values(part):
    """A place in traces.parquet that is among the scores."""
    column = parquet.read_metadata(part / "traces.parquet").row_group(0).column(4)
    assert column.path_in_schema.startswith("score")
    return column.data_page_offset + column.total_compressed_size // 2


def damage_a_score(part):
    file = part / "traces.parquet"
    data = bytearray(file.read_bytes())
    data[middle_of_the_values(part)] ^= 1
    file.write_bytes(data)


def test_all_curves_are_the_same_to_the_bit_and_no_trace_is_opened(root, made, small):
    index_store(root)
    results = load(root)
    spoil_traces(root)
    found, own = results.all_traces, load(made).all_traces
    same_curves(found, own)
    assert own["score"].isna().any() and found.attrs["unread"] == ()
    for name in module.TRACED:
        assert (found[name].to_numpy().view(np.int64) == own[name].to_numpy().view(np.int64)).all()


@pytest.mark.parametrize("columns", [module.TRACED, ("score", "iteration"), ("seconds",)])
def test_a_few_curves_are_the_same_in_the_order_in_which_they_are_asked_for(root, made, small, columns):
    index_store(root)
    results = load(root)
    spoil_traces(root)
    some = [results.trials["trial"][place] for place in (30, 4, 5, 6, 19, 0)]
    same_curves(results.traces(some, columns), load(made).traces(some, columns))
    same_curves(results.traces([], columns), load(made).traces([], columns))


def test_a_few_curves_are_read_from_the_row_groups_that_hold_them(root, small, monkeypatch):
    index_store(root)
    results, opened, read = load(root), [], []

    class Counted(parquet.ParquetFile):
        def __init__(self, file, **named):
            opened.append(file)
            super().__init__(file, **named)

        def read_row_group(self, group, *args, **named):
            read.append(group)
            return super().read_row_group(group, *args, **named)

    monkeypatch.setattr(module.parquet, "ParquetFile", Counted)
    results.traces([results.trials["trial"][place] for place in (6, 7, 12)])
    assert opened == [min((root / "index").iterdir()) / "traces.parquet"] and read == [1, 2]


def test_a_part_is_written_in_groups(root, monkeypatch):
    monkeypatch.setattr(module, "GROUP", 10)
    index_store(root)
    (part,) = (root / "index").iterdir()
    written = parquet.read_metadata(part / "traces.parquet")
    assert [written.row_group(group).num_rows for group in range(written.num_row_groups)] == [10, 10, 10, 10, 1]


def test_a_column_that_the_index_lacks_is_read_from_the_trials_own_files(root, made):
    index_store(root)
    columns = ["iteration", "grad_norm"]
    same_curves(
        load(root).traces(load(root).trials["trial"], columns), load(made).traces(load(made).trials["trial"], columns)
    )


def test_only_trials_that_are_as_they_were_are_taken_from_the_index(root, made, small):
    index_store(root)
    own = load(made)
    changed, kept = own.trials["trial"][11], own.trials["trial"][12]
    os.utime(root / "trials" / changed / "best.png", (1e9, 1e9))
    results = load(root)
    same_curves(results.all_traces, own.all_traces)
    spoil(trace_of(root, changed))
    spoil(trace_of(root, kept))
    found = results.traces([kept, changed])
    assert found.attrs["unread"] == (changed,)
    assert found["score"].tolist() == own.traces([kept])["score"].tolist()


def test_a_trial_that_is_new_stands_among_those_of_the_index(root, made, small):
    new = [sorted((root / "trials").iterdir())[place] for place in (0, 7, 8, 40)]
    for folder in new:
        folder.rename(root / folder.name)
    index_store(root)
    for folder in new:
        (root / folder.name).rename(folder)
    results = load(root)
    same(results, load(made))
    spoil(trace_of(root, new[1].name))
    assert results.traces(results.trials["trial"]).attrs["unread"] == (new[1].name,)


@pytest.mark.parametrize("damage", [spoil, os.unlink], ids=["no parquet", "missing"])
def test_a_part_without_its_curves_is_none_and_is_made_again(root, made, small, damage):
    index_store(root)
    damaged, *others = sorted((root / "index").iterdir())
    damage(damaged / "traces.parquet")
    results = load(root)
    assert len(results.indexed) == len(others)
    same(results, load(made))
    assert index_store(root)[:2] == (41 - 17, 17)
    assert not damaged.exists() and len(load(root).indexed) == 1 + len(others)


def test_a_part_with_the_curves_of_another_is_none(root, made, small):
    index_store(root)
    first, second, _ = sorted((root / "index").iterdir())
    shutil.copy(first / "traces.parquet", second / "traces.parquet")
    assert len(load(root).indexed) == 2
    same(load(root), load(made))


def test_damage_among_the_values_is_noticed_where_they_are_read(root, made, small):
    index_store(root)
    damaged = sorted((root / "index").iterdir())[1]
    damage_a_score(damaged)
    results = load(root)
    assert len(results.indexed) == 3
    same(results, load(made))
    assert index_store(root)[:2] == (41 - 17, 17)
    assert not damaged.exists()


def test_a_part_that_goes_after_the_frames_were_read_is_done_without(root, made, small):
    index_store(root)
    results = load(root)
    shutil.rmtree(sorted((root / "index").iterdir())[1])
    same_curves(results.all_traces, load(made).all_traces)


def odd(table):
    """Traces that a method of one's own could leave."""
    score = table.schema.get_field_index("score")
    return {
        "a further column": table.append_column("score/clip", table["score"]),
        "columns in another order": table.select(table.column_names[::-1]),
        "no rows": table.slice(0, 0),
        "no seconds": table.drop_columns("seconds"),
        "smaller numbers": table.set_column(score, "score", table["score"].cast(pyarrow.float32())),
        "iterations without a number": table.set_column(0, "iteration", pyarrow.nulls(table.num_rows, pyarrow.int64())),
        "types of pandas": pyarrow.Table.from_pandas(table.to_pandas().astype({"iteration": "Int64"})),
    }


@pytest.mark.parametrize("kind", odd(pyarrow.table({"iteration": [0], "score": [0.0], "seconds": [0.0]})))
def test_a_trace_that_the_index_cannot_hold_is_read_as_without(root, kind):
    trial = sorted((root / "trials").iterdir())[3].name
    rewrite(root, trial, odd(parquet.read_table(trace_of(root, trial)))[kind])
    own = load(root)
    expected, alone, beside = own.all_traces, own.traces([trial]), own.traces([trial, own.trials["trial"][0]])
    index_store(root)
    results = load(root)
    assert len(results.indexed[0].trials) == 41
    same_curves(results.traces([trial]), alone)
    same_curves(results.traces([trial, own.trials["trial"][0]]), beside)
    same_curves(results.all_traces, expected)
    assert expected.attrs["unread"] == ((trial,) if kind == "no seconds" else ())
    spoil_traces(root)
    held = kind in ("a further column", "columns in another order", "no rows", "types of pandas")
    assert results.traces(results.trials["trial"]).attrs["unread"] == (() if held else (trial,))


def test_a_trace_that_is_not_what_was_written_is_in_no_part(root):
    trial = sorted((root / "trials").iterdir())[3].name
    data = trace_of(root, trial).read_bytes()
    trace_of(root, trial).unlink()
    trace_of(root, trial).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    before, added, damaged = index_store(root)
    assert (before, added) == (0, 40) and len(damaged) == 1 and "trace.parquet is not what was written" in damaged[0]
    (part,) = (root / "index").iterdir()
    assert trial not in parquet.read_table(part / "traces.parquet")["trial"].to_pylist()


def test_parts_of_older_versions_go_and_those_of_later_ones_stay(root):
    for name in ("v1-1-1", f"v{index.VERSION + 1}-1-1", "mine"):
        (root / "index" / name).mkdir(parents=True)
    index_store(root)
    left = sorted(part.name for part in (root / "index").iterdir())
    assert left[:1] == ["mine"] and left[2:] == [f"v{index.VERSION + 1}-1-1"] and len(left) == 3


def test_what_a_killed_process_was_writing_goes_and_what_another_one_is_writing_stays(root):
    dead, alive = f".~{re.sub(r'[.][0-9]*-', '.1-', own_name())}", f".~{own_name()}"  # one that had this one's number
    for name in (dead, alive):
        (root / "index" / name).mkdir(parents=True)
    index_store(root)
    assert [part.name for part in (root / "index").glob(".~*")] == [alive]


def test_nothing_is_left_where_a_part_cannot_be_written_to_its_end(root, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(index, "_write_tables", full)
    with pytest.raises(OSError, match="No space left"):
        index_store(root)
    assert list((root / "index").iterdir()) == []


def test_the_copy_of_a_store_elsewhere_has_the_same_curves(monkeypatch, tmp_path):
    there = There(monkeypatch, tmp_path)
    one = there.machine("one")
    one.prepare()
    for seed in range(3):
        one.commit(finished(seed=seed))
    two = there.machine("two")
    own = load(two.root).all_traces
    assert index_store(two.root)[:2] == (0, 3)
    results = load(two.root)
    spoil_traces(two.root)
    same_curves(results.all_traces, own)
    same_curves(load(one.root).all_traces, own)
