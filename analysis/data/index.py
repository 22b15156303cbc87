"""The index of a store: what the frames need of its trials, in Parquet, so that a large store is read in minutes.

results/index/<part>/     whole or absent: trials.parquet, judged.parquet, verdicts.parquet, scores.parquet,
                          traces.parquet, sums.json

A row of trials.parquet has the trial's signature: sizes and times of the trial's files and of its later judgements. A
trial whose signature is another by now, or that no part has, is read from its own files; rows of a trial that is gone
are left out. Trials and judgements that are damaged are never in a part, so each reading finds and names them. What is
not noticed is damage that changes neither a file's size nor its time. Curves (traces.parquet, curves.py) stay in the
file until something shows them. sums.json has the digests of the other tables' bytes: the trials of a part that is
damaged itself, or mixed up with another one, are read from their own files.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
from pyarrow import compute, parquet

from analysis.data.curves import CurvesFile, PartCurves, among, compare, part_curves
from analysis.data.frames import Raw, rows_of
from analysis.data.results import JUDGED_COLUMNS, SCORE_COLUMNS, VERDICT_COLUMNS
from reno.store.records import TrialRecord
from reno.store.staging import own_name, writer_is_dead

INDEX, SUMS, VERSION = "index", "sums.json", 2
"""The folder's name in the store, the file of a part's digests, and the version of the parts. Parts of another version
are not read."""
_PART = re.compile(r"v(?P<version>\d+)-.*")
PART_TRIALS = 20_000
"""Trials of one part."""
TABLES = ("trials", "judged", "verdicts", "scores")
_TEXT, _WHOLE, _NUMBER, _FLAG = pyarrow.string(), pyarrow.int64(), pyarrow.float64(), pyarrow.bool_()
_TRIALS = {
    **dict.fromkeys(
        ("trial", "models", "metric", "method", "prompt_set", "study", "optimizer", "options", "dtype", "generator",
         "families", "terms", "prompt", "category", "cut", "device", "commit", "finished"), _TEXT),
    **dict.fromkeys(("algorithm", "bindings", "seed", "best_iteration", "images", "batch_size", "peak_host_bytes",
                     "peak_device_bytes"), _WHOLE),
    **dict.fromkeys(("iterations", "lr", "regularization", "grad_clip", "score_initial", "score_best", "score_last",
                     "seconds"), _NUMBER),
    **dict.fromkeys(("random_weights", "checkpointed"), _FLAG),
    "asked": pyarrow.list_(_TEXT),
}  # fmt: skip
_FLAGS = ("object_present", "attribute_present", "bound")
_NUMBERS = ("object_confidence", "attribute_confidence", "bound_confidence", "correct", "score")


def _types(columns: Iterable[str]) -> dict[str, pyarrow.DataType]:
    of = {"place": _WHOLE, **dict.fromkeys(_FLAGS, _FLAG), **dict.fromkeys(_NUMBERS, _NUMBER)}
    return {column: of.get(column, _TEXT) for column in columns}


TYPES = {
    "trials": _TRIALS,
    "judged": _types(JUDGED_COLUMNS),
    "verdicts": _types((*VERDICT_COLUMNS, "identity")),
    "scores": _types(SCORE_COLUMNS),
}
"""The columns of each table, as `rows_of` makes them."""


@dataclass(frozen=True)
class Indexed:
    """What the index has of the trials as they are now."""

    trials: frozenset[str]
    tables: dict[str, pyarrow.Table]
    curves: tuple[PartCurves, ...]


# --- Signatures -------------------------------------------------------------------------------------------------------


def signatures(root: Path) -> dict[str, str]:
    """The signature of each trial: a digest of its files' names, sizes and times, and of its later judgements'."""
    later: dict[str, list[str]] = {}
    for judge in sorted(_entries(root / "judgements"), key=lambda entry: entry.name):
        for entry in _entries(judge.path):
            later.setdefault(entry.name.removesuffix(".json"), []).append(f"{judge.name}/{_state(entry)}")
    found = {}
    for folder in _entries(root / "trials"):
        files = sorted(map(_state, _entries(folder.path)))
        text = "\n".join([*files, *later.get(folder.name, ())])
        found[folder.name] = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
    return found


def _state(entry: os.DirEntry) -> str:
    try:
        state = entry.stat()
    except OSError as error:
        return f"{entry.name} {error.errno}"
    return f"{entry.name} {state.st_size} {state.st_mtime_ns}"


def _entries(folder: str | Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:  # a trial that is a file, or cannot be read, is told of where it is read
        return []


# --- Reading ----------------------------------------------------------------------------------------------------------


def read_index(root: Path) -> Indexed | None:
    """The indexed trials that are as they were; None if the store has no index."""
    if not _parts(root):
        return None
    taken: set[str] = set()
    tables: dict[str, list[pyarrow.Table]] = {name: [] for name in TABLES}
    curves: list[PartCurves] = []
    for part, valid in _valid(root, signatures(root)):
        if (found := _tables(part)) is None:
            continue
        read, of_part = found
        valid = [trial for trial in valid if trial not in taken]
        taken.update(valid)
        some = None if len(valid) == read["trials"].num_rows else pyarrow.array(valid, _TEXT)
        for name, table in read.items():
            table = table.select(list(TYPES[name]))
            tables[name].append(table if some is None else table.filter(compute.is_in(table["trial"], some)))
        curves.append(of_part if some is None else among(of_part, compute.is_in(of_part.trials, some)))
    whole = {name: pyarrow.concat_tables(found) for name, found in tables.items() if found}
    return Indexed(frozenset(taken), whole, tuple(curves)) if taken else None


def _valid(root: Path, now: dict[str, str]) -> Iterator[tuple[Path, list[str]]]:
    """The parts that can be read, the newest first, each with its trials that are as they were. now: the signatures."""
    for part in reversed(_parts(root)):
        try:
            table = parquet.read_table(part / "trials.parquet", columns=["trial", "signature"])
        except (OSError, pyarrow.ArrowException):
            continue
        pairs = zip(table["trial"].to_pylist(), table["signature"].to_pylist(), strict=True)
        if valid := [trial for trial, signature in pairs if now.get(trial) == signature]:
            yield part, valid


def _tables(part: Path, with_values: bool = False) -> tuple[dict[str, pyarrow.Table], PartCurves] | None:
    """A part's tables, and its curves, of which no value is read; None if one is damaged: its trials are then read from
    their files. with_values: whether the values of the curves are read too, to see whether they are damaged."""
    try:
        sums = json.loads((part / SUMS).read_bytes())
        tables = {name: _table(part / f"{name}.parquet", sums[name]) for name in TABLES}
        curves = part_curves(part, tables["trials"]["trial"])
        if with_values:
            compare(curves)
    except (OSError, pyarrow.ArrowException, ValueError, TypeError, KeyError):
        return None
    return tables, curves


def _table(file: Path, wanted: str) -> pyarrow.Table:
    """The table in a file. wanted: the digest of its bytes. Raises OSError, and ValueError if they are other ones."""
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != wanted:
        raise ValueError(f"{file} is not what was written")
    return parquet.read_table(pyarrow.BufferReader(data))


def with_index(indexed: Indexed, records: Sequence[TrialRecord]) -> Raw:
    """The rows of indexed trials and of records that were read, in the order of the trials' ids."""
    frames = {}
    rows = rows_of(records)
    for name, schema in TYPES.items():
        read = pd.DataFrame(getattr(rows, name), columns=list(schema))
        there = indexed.tables[name]
        there = there.take(compute.sort_indices(there, sort_keys=[("trial", "ascending")]))
        columns = {column: _column(there[column]) for column in schema}
        if len(read):
            columns = {column: [*columns[column], *read[column].tolist()] for column in schema}
        frame = pd.DataFrame(columns, columns=list(schema))
        frames[name] = frame.sort_values("trial", kind="stable", ignore_index=True) if len(read) else frame
    return Raw(**frames)


def _column(column: pyarrow.ChunkedArray) -> Any:
    """The values as a frame infers their type from: numbers as they are, the others as Python's own. Equal texts are
    one object, because a large store repeats each many times."""
    if pyarrow.types.is_list(column.type):
        return [tuple(values) for values in column.to_pylist()]
    if column.null_count == len(column):
        return column.to_pylist()
    if pyarrow.types.is_string(column.type):
        coded = column.combine_chunks().dictionary_encode()
        texts = np.array([*coded.dictionary.to_pylist(), None], dtype=object)
        return texts[coded.indices.fill_null(len(texts) - 1).to_numpy()]
    if pyarrow.types.is_boolean(column.type) and column.null_count:
        return column.to_pylist()
    return column.to_numpy()


# --- Writing ----------------------------------------------------------------------------------------------------------


def write_part(root: Path, found: Iterable[tuple[TrialRecord, pyarrow.Table | None]], now: dict[str, str]) -> int:
    """Writes a part of these trials, each with its curve. now: the signatures from before they were read. Returns how
    many it has: not those whose texts Parquet cannot hold. Raises OSError."""
    kept = (one for one in found if one[0].id in now and _is_text(one[0]))
    if (first := next(kept, None)) is None:
        return 0
    folder = root / INDEX
    folder.mkdir(exist_ok=True)
    part = folder / f".~{own_name()}"
    part.mkdir()
    try:
        records = []
        with CurvesFile(part) as curves:
            for record, values in itertools.chain([first], kept):
                curves.add(record.id, values)
                records.append(record)
        _write_tables(part, records, now)
        part.rename(folder / f"v{VERSION}-{time.time_ns()}-{os.getpid()}")
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return len(records)


def _write_tables(part: Path, records: Sequence[TrialRecord], now: dict[str, str]) -> None:
    """Writes the tables, and the digests of their bytes."""
    rows, sums = rows_of(records), {}
    for name, schema in TYPES.items():
        keys = schema if name == "trials" else range(len(schema))  # trials are mappings, the others tuples
        arrays = [
            pyarrow.array([row[key] for row in getattr(rows, name)], type=kind)
            for key, kind in zip(keys, schema.values(), strict=True)
        ]
        table = pyarrow.Table.from_arrays(arrays, names=list(schema))
        if name == "trials":
            table = table.append_column("signature", pyarrow.array([now[record.id] for record in records], _TEXT))
        file = part / f"{name}.parquet"
        parquet.write_table(table, file, compression="zstd")
        sums[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    (part / SUMS).write_text(json.dumps(sums), encoding="utf-8")


def _is_text(record: TrialRecord) -> bool:
    """Whether the texts that a frame takes as they are can be written: labels may hold bytes that are no UTF-8."""
    labels = record.labels
    texts = (labels.models, labels.metric, labels.method, record.spec.dtype, record.spec.generator)
    names = (*record.judgements, *record.scores.best, *record.scores.initial, *record.scores.last)
    try:
        "".join((*texts, *names, record.provenance.device or "", record.finished or "")).encode()
    except UnicodeEncodeError:
        return False
    return True


def _parts(root: Path) -> list[Path]:
    """The parts of this version, the oldest first."""
    found = [Path(entry.path) for entry in _entries(root / INDEX) if entry.name.startswith(f"v{VERSION}-")]
    return sorted(found, key=lambda part: (len(part.name), part.name))


def _left_over(root: Path) -> list[Path]:
    """The parts of older versions, and those that a process was writing when it was killed."""
    found = ((Path(entry.path), _PART.fullmatch(entry.name)) for entry in _entries(root / INDEX))
    return [part for part, name in found if (int(name["version"]) < VERSION if name else writer_is_dead(part.name))]


def bring_up_to_date(
    root: Path, read: Callable[[frozenset[str]], Iterable[tuple[TrialRecord, pyarrow.Table | None]]]
) -> tuple[int, int]:
    """Adds parts for the trials that are new or have changed, and removes those of which no trial is as it was, damaged
    and half-written ones and those of older versions.

    read: yields the records of the whole trials without these, later judgements among theirs, and without those that
    have a damaged judgement, each with its curve. Returns how many trials were indexed before, and how many are added.
    Raises OSError."""
    now, added = signatures(root), 0
    current: set[Path] = set()
    known: set[str] = set()
    for part, valid in _valid(root, now):  # one whose trials a newer part has is of another process at the same time
        if not known.issuperset(valid) and _tables(part, with_values=True) is not None:
            current.add(part)
            known.update(valid)
    outdated = [*_left_over(root), *(part for part in _parts(root) if part not in current)]
    rest = iter(read(frozenset(known)))
    for first in rest:
        added += write_part(root, itertools.chain([first], itertools.islice(rest, PART_TRIALS - 1)), now)
    for part in outdated:
        shutil.rmtree(part, ignore_errors=True)
    return len(known), added
