"""The curves of trials: TRACED of each trial's trace, from its own trace.parquet or from the index of the store.

A part of the index (index.py) has one row a trial in traces.parquet: how many rows its trace has, and a list for each
of TRACED. A trace that a list cannot hold as it is (without one of the columns, or with other types) has none there,
and is read from its own file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
from pyarrow import compute, parquet

TRACED = ("iteration", "loss", "score", "seconds")
"""Columns of a trace that the report needs."""
TRACE = "trace.parquet"
"""The file of a trial's trace."""
TRACES = "traces.parquet"
"""The file of the curves of a part of the index."""
GROUP = 1_000
"""Trials whose curves are held at a time, while a part is written and while it is read."""
_TYPES = {name: pyarrow.int64() if name == "iteration" else pyarrow.float64() for name in TRACED}
_SCHEMA = pyarrow.schema(
    [("trial", pyarrow.string()), ("rows", pyarrow.int64()), *((name, pyarrow.list_(_TYPES[name])) for name in TRACED)]
)
_CANNOT_READ = (OSError, pyarrow.ArrowException, ValueError, KeyError)


@dataclass(frozen=True)
class PartCurves:
    """The curves that a part has of its trials."""

    file: Path
    trials: pyarrow.ChunkedArray
    """The ids of the trials that are taken from it."""
    places: np.ndarray
    """Their rows in the file, (N,)."""
    rows: np.ndarray
    """How many rows the trace of each has, (N,); -1 if it is to be read from its own file."""


# --- Reading ----------------------------------------------------------------------------------------------------------


def part_curves(part: Path, trials: pyarrow.ChunkedArray) -> PartCurves:
    """The curves of a part that has these trials; no curve is read. Raises OSError, ArrowException and ValueError if
    they are damaged."""
    file = part / TRACES
    with parquet.ParquetFile(file, page_checksum_verification=True) as opened:
        if not opened.schema_arrow.equals(_SCHEMA):
            raise ValueError(f"{file} has other columns")
        table = opened.read(columns=["trial", "rows"])
    if not table["trial"].equals(trials):
        raise ValueError(f"{file} is of other trials")
    rows = table["rows"].fill_null(-1).to_numpy()
    return PartCurves(file, trials, np.arange(len(rows)), rows)


def among(curves: PartCurves, taken: pyarrow.ChunkedArray) -> PartCurves:
    """The curves of some of the trials. taken: whether each is among them, (N,)."""
    mask = taken.to_numpy()
    return PartCurves(curves.file, curves.trials.filter(taken), curves.places[mask], curves.rows[mask])


def compare(curves: PartCurves) -> None:
    """Reads all of a part's curves. Raises as `part_curves` if they are damaged."""
    for _ in _groups(curves.file, curves.places, curves.rows, TRACED):
        pass


def traces(
    folder: Callable[[str], Path], trials: Sequence[str], columns: Sequence[str], indexed: Sequence[PartCurves] = ()
) -> pd.DataFrame:
    """One row an iteration of each trial, with the column `trial` and these columns of the trace.

    folder: of a trial. indexed: what is read of these columns from the index; another trial's trace, and that of one
    whose part is damaged or gone by now, is read from its own file. A trace that cannot be read, or has not all of
    these columns, is left out; the frame's attribute `unread` names such trials."""
    if not set(columns) <= set(TRACED):
        indexed = ()
    found = _found(trials, indexed)
    rows = np.full(len(trials), -1)
    for part, (served, order) in zip(indexed, found, strict=True):
        rows[order] = part.rows[served]
    others = np.flatnonzero(rows < 0)
    own, own_rows = _own_traces(folder, [trials[place] for place in others], columns)
    if len(others) == len(trials):
        return _frame(trials, own_rows, own)
    rows[others] = own_rows
    counts = np.maximum(rows, 0)
    starts = np.cumsum(counts) - counts
    own_values = {name: own[name].to_numpy() for name in columns} if (own_rows >= 0).any() else {}
    values = {}
    for name in columns:  # made once, at their full length: a million trials have some fifty million rows
        kind = _TYPES[name].to_pandas_dtype()
        values[name] = np.empty(counts.sum(), np.result_type(kind, own_values.get(name, kind)))
    _place(values, starts[others], counts[others], own_values)
    for number, (part, (served, order)) in enumerate(zip(indexed, found, strict=True)):
        if not len(served):
            continue
        try:
            for chosen, read in _groups(part.file, part.places[served], part.rows[served], columns):
                _place(values, starts[order[chosen]], part.rows[served[chosen]], read)
        except _CANNOT_READ:
            return traces(folder, trials, columns, [one for place, one in enumerate(indexed) if place != number])
    return _frame(trials, rows, pd.DataFrame(values, copy=False))


def _found(trials: Sequence[str], indexed: Sequence[PartCurves]) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each part: which of its trials are among these and have a curve there, and their places among these."""
    if not indexed:
        return []
    ids = pyarrow.chunked_array([chunk for part in indexed for chunk in part.trials.chunks], pyarrow.string())
    order = compute.index_in(ids, value_set=pyarrow.array(trials, pyarrow.string())).fill_null(-1).to_numpy()
    ends = np.cumsum([len(part.rows) for part in indexed])
    found = []
    for of_part, part in zip(np.split(order, ends[:-1]), indexed, strict=True):
        served = np.flatnonzero((of_part >= 0) & (part.rows >= 0))
        found.append((served, of_part[served]))
    return found


def _groups(
    file: Path, places: np.ndarray, rows: np.ndarray, columns: Sequence[str]
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """The values of these rows of a part's curves, from each row group that has some of them: which of the rows, and
    their values one after the other, by column. rows: how many values each has, -1 for none. Raises OSError,
    ArrowException and ValueError."""
    with parquet.ParquetFile(file, page_checksum_verification=True) as opened:
        sizes = [opened.metadata.row_group(group).num_rows for group in range(opened.num_row_groups)]
        ends = np.cumsum(sizes, dtype=np.int64)
        if len(places) and places.max() >= (ends[-1] if len(ends) else 0):
            raise ValueError(f"{file} has fewer rows than before")
        group_of = np.searchsorted(ends, places, side="right")
        for group in np.unique(group_of).tolist():
            chosen = np.flatnonzero(group_of == group)
            table = opened.read_row_group(group, columns=list(columns), use_threads=False)
            table = table.take(places[chosen] - (ends[group] - sizes[group]))
            total = np.maximum(rows[chosen], 0).sum()
            read = {column: compute.list_flatten(table[column]).to_numpy() for column in columns}
            if any(len(values) != total for values in read.values()):
                raise ValueError(f"{file} has curves of other lengths than it says")
            yield chosen, read


def _place(into: dict[str, np.ndarray], starts: np.ndarray, rows: np.ndarray, read: dict[str, np.ndarray]) -> None:
    """Puts the values of trials, one after the other, where each trial's begin. starts, rows: of each trial, (N,)."""
    before = np.cumsum(rows) - rows
    if not rows.sum():
        return
    if np.array_equal(starts - starts[0], before):
        to: slice | np.ndarray = slice(starts[0], starts[0] + rows.sum())
    else:
        to = np.repeat(starts - before, rows) + np.arange(rows.sum())
    for column, values in read.items():
        into[column][to] = values


def _own_traces(
    folder: Callable[[str], Path], trials: Sequence[str], columns: Sequence[str]
) -> tuple[pd.DataFrame, np.ndarray]:
    """The traces in these trials' own files, one after the other, and how many rows each has; -1 for one that cannot be
    read."""
    tables, rows = [], np.full(len(trials), -1)
    for place, trial in enumerate(trials):
        try:
            table = _read(folder(trial) / TRACE, columns)
        except (OSError, pyarrow.ArrowException, KeyError):
            continue
        tables.append(table)
        rows[place] = table.num_rows
    if not tables:
        return pd.DataFrame(columns=list(columns)), rows
    return pyarrow.concat_tables(tables, promote_options="permissive").to_pandas()[list(columns)], rows


def _read(file: Path | pyarrow.BufferReader, columns: Sequence[str]) -> pyarrow.Table:
    """These columns of a trace. Raises OSError, ArrowException, and KeyError if it lacks one."""
    with parquet.ParquetFile(file) as opened:
        table = opened.read(columns=list(columns), use_threads=False)
    return table.select(list(columns)).replace_schema_metadata()  # what pandas notes there would be of all traces


def _frame(trials: Sequence[str], rows: np.ndarray, values: pd.DataFrame) -> pd.DataFrame:
    """The frame of these traces. rows: of each trial; -1 for one that is not read."""
    read = [trial for trial, count in zip(trials, rows.tolist(), strict=True) if count >= 0]
    if read:
        places = np.repeat(np.arange(len(read), dtype=np.int32), rows[rows >= 0])
        values.insert(0, "trial", pd.Categorical.from_codes(places, categories=read))  # grouped faster than text is
    else:
        values = pd.DataFrame(columns=["trial", *values.columns])
    values.attrs["unread"] = tuple(trial for trial, count in zip(trials, rows.tolist(), strict=True) if count < 0)
    return values


# --- Writing ----------------------------------------------------------------------------------------------------------


def curve(data: bytes) -> pyarrow.Table | None:
    """TRACED of a trace, from the bytes of its file; None if the index cannot hold it as it is."""
    try:
        table = _read(pyarrow.BufferReader(data), TRACED)
    except (OSError, pyarrow.ArrowException, KeyError):
        return None
    as_others = table.schema.types == list(_TYPES.values()) and table["iteration"].null_count == 0
    return table if as_others else None


class CurvesFile:
    """Writes the curves of a part, GROUP trials at a time: to be used in a `with`."""

    def __init__(self, part: Path):
        """Raises OSError."""
        values = {f"{name}.list.element": "BYTE_STREAM_SPLIT" for name in TRACED if name != "iteration"}
        encodings = {"iteration.list.element": "DELTA_BINARY_PACKED", **values}
        self._file = parquet.ParquetWriter(
            part / TRACES, _SCHEMA, compression="zstd", use_dictionary=False, column_encoding=encodings,
            write_page_checksum=True,
        )  # fmt: skip
        self._waiting: list[tuple[str, pyarrow.Table | None]] = []

    def add(self, trial: str, values: pyarrow.Table | None) -> None:
        """values: as `curve` gives them. Raises OSError."""
        self._waiting.append((trial, values))
        if len(self._waiting) == GROUP:
            self._write()

    def _write(self) -> None:
        held = [values for _, values in self._waiting if values is not None]
        rows = pyarrow.array([None if one is None else one.num_rows for _, one in self._waiting], pyarrow.int64())
        ends = np.cumsum(rows.fill_null(0).to_numpy())
        offsets = pyarrow.array(np.concatenate([[0], ends]), pyarrow.int32())
        lists = []
        for name, kind in _TYPES.items():
            chunks = [chunk for one in held for chunk in one[name].chunks]
            values = pyarrow.concat_arrays([pyarrow.array([], kind), *chunks])
            lists.append(pyarrow.ListArray.from_arrays(offsets, values))
        ids = pyarrow.array([trial for trial, _ in self._waiting], pyarrow.string())
        self._file.write_table(pyarrow.Table.from_arrays([ids, rows, *lists], schema=_SCHEMA))
        self._waiting = []

    def __enter__(self) -> CurvesFile:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if self._waiting and kind is None:
                self._write()
        finally:
            self._file.close()
