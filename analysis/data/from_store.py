"""The frames of a store."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pyarrow

from analysis.data.curves import TRACE, curve
from analysis.data.frames import tidy
from analysis.data.index import bring_up_to_date, read_index, with_index
from analysis.data.results import Results
from reno.letters.counting import counted
from reno.letters.output import warn
from reno.spec.addresses import named
from reno.spec.errors import BadInput, first_line
from reno.spec.trial import digest
from reno.store.records import FAILED, JobRecord, TrialRecord, read_json
from reno.store.store import Store
from reno.store.stored import Damaged, Stored, checked, read_trial, side_by_side

READ = (TRACE,)
"""The files of every trial that the numbers come from. Images are compared with what was written where they are
shown."""
MANY = 20_000
"""Trials read from their own files from which the user is told of the index."""


def load_store(root: Path) -> Results:
    """Reads the store in `root`. Raises BadInput if it has no whole trial, or cannot be read."""
    Store(root).catch_up(files=READ)
    indexed = read_index(root)
    records, broken, unread = _read_trials(root, indexed.trials if indexed else frozenset())
    jobs, unread_jobs = _read_jobs(root)
    unread += unread_jobs
    if not records and indexed is None:
        raise BadInput(_nothing(root, jobs, (*broken.values(), *unread)))
    if len(records) > MANY:
        quicker = f"`python -m reno.index results={named(root)}` makes the next reading quicker"
        warn(f"{len(records)} trials were read from their own files; {quicker}")
    found = with_index(indexed, records) if indexed else records
    results = tidy(found, jobs, root=root, broken=broken, unread=unread)
    return replace(results, indexed=indexed.curves) if indexed else results


def _read_trials(root: Path, without: Collection[str]) -> tuple[list[TrialRecord], dict[str, str], list[str]]:
    """The records of the whole trials, later judgements among theirs; a sentence for each damaged trial; one for each
    damaged judgement. without: trials that are left out."""
    records, broken, unjudged = [], {}, []
    for found, damaged in _each(root, without):
        if isinstance(found, Damaged):
            broken[found.trial] = found.sentence
            continue
        unjudged += [one.sentence for one in damaged]
        records.append(found)
    return records, broken, list(dict.fromkeys(unjudged))


def _each(root: Path, without: Collection[str]) -> Iterator[tuple[TrialRecord | Damaged, list[Damaged]]]:
    """The record of every trial without those, its later judgements among its own, and those of them that are
    damaged."""
    folders = Store(root).folders(without)
    for found in counted(checked(map(read_trial, folders), READ), "trials read", len(folders)):
        yield (found, []) if isinstance(found, Damaged) else _judged(found)


def _judged(found: Stored) -> tuple[TrialRecord, list[Damaged]]:
    """The record of a trial, its later judgements among its own, and those of them that are damaged."""
    later, damaged = found.later()
    return msgspec.structs.replace(found.record, judgements=found.judgements_with(later)), damaged


def _with_curve(found: Stored | Damaged) -> tuple[Stored | Damaged, pyarrow.Table | None]:
    """A trial and its curve, from the bytes that were compared with the record."""
    data = found if isinstance(found, Damaged) else found.bytes_of(TRACE)
    return (data, None) if isinstance(data, Damaged) else (found, curve(data))


def index_store(root: Path) -> tuple[int, int, list[str]]:
    """Brings the index of a store up to date. Returns how many trials it had, how many are added, and a sentence for
    each that is damaged, or has a damaged judgement, and is left out. Raises BadInput and OSError."""
    damaged: list[str] = []
    store = Store(root)

    def read(without: Collection[str]) -> Iterator[tuple[TrialRecord, pyarrow.Table | None]]:
        folders = store.folders(without)
        pairs = side_by_side(_with_curve, map(read_trial, folders))
        for found, values in counted(pairs, "trials indexed", len(folders)):
            if isinstance(found, Damaged):
                damaged.append(found.sentence)
                continue
            record, unusable = _judged(found)
            if unusable:
                damaged.extend(one.sentence for one in unusable)
            else:
                yield record, values

    store.catch_up(files=READ, jobs=False)
    before, added = bring_up_to_date(root, read)
    return before, added, damaged


def _read_jobs(root: Path) -> tuple[list[JobRecord], list[str]]:
    """The records of the jobs, of single runs and of sweeps, oldest first, and a sentence for each unreadable one."""
    jobs, unread = [], []

    def refused(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            unread.append(f"{error.filename} cannot be read ({error.strerror}); the jobs in it are not counted")

    found = []
    for folder, folders, files in os.walk(root / "jobs", onerror=refused):
        found += [Path(folder) / name for name in (*folders, *files) if name == "job.json"]
    for path in sorted(found, key=_job_order):
        try:
            jobs.append(_job(path))
        except OSError as error:
            unread.append(f"{path} cannot be read ({error.strerror}); trials that only it names are not counted")
        except ValueError as error:
            unread.append(f"{path} is damaged: {first_line(error)}; trials that only it names are not counted")
    return jobs, unread


def _job(path: Path) -> JobRecord:
    """A job's record. Raises OSError if it cannot be read, and ValueError, which says why, if it is damaged."""
    job = JobRecord.from_json(read_json(path))
    for trial in job.trials if job.spec else ():
        if digest({**job.spec, **trial.own}) != trial.id:
            raise ValueError(f"its spec is not the one that the id {trial.id[:12]} was made from")
    return job


def _job_order(path: Path) -> tuple:
    """Job folders are named by time; the jobs of a sweep by number, 10 after 9."""
    return tuple((int(part) if part.isdigit() else -1, part) for part in path.parts)


def _nothing(root: Path, jobs: Sequence[JobRecord], damaged: Sequence[str]) -> str:
    """Why there is nothing to report, in one sentence."""
    name = named(root)
    if name == str(root) and not root.is_dir():
        return f"there is no folder {root}; give the one that `python -m reno.run` wrote to: results=DIR"
    if damaged:
        return f"{name} holds no whole trial, only {len(damaged)} damaged ones, the first being: {damaged[0]}"
    failed = [trial for job in jobs for trial in job.trials if trial.state == FAILED]
    if failed:
        reason = failed[-1].reason or "no reason is recorded"
        return f"{name} holds no trial: all {len(failed)} that were run failed, the last with: {reason}"
    return f"{name} holds no trial; run one first, for example `python -m reno.run results={name}`"
