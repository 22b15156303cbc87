"""How far the jobs of a store are, read from the store alone: what is stored, who runs what, what failed, what is left.

    for job in overview(root): ...

Jobs with the same trials are one: the same command typed again, or typed by several workers. Nothing is written.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec

from reno.spec.errors import first_line
from reno.store.claims import Worker
from reno.store.records import FAILED, JobRecord, read_json
from reno.store.store import Store
from reno.store.stored import READERS

GPU, CPU = "GPU", "CPU"


class _Batch(msgspec.Struct):
    size: int
    shape: int | None = None


class _Provenance(msgspec.Struct):
    batch: _Batch
    device: str | None = None


class _Timings(msgspec.Struct):
    seconds: float
    batch_seconds: float


class Timed(msgspec.Struct):
    """What is read of a trial.json here; a quarter of the time that all of it takes."""

    timings: _Timings
    provenance: _Provenance

    @property
    def pace(self) -> float:
        """Seconds of one trial in a full batch."""
        return self.timings.batch_seconds / (self.provenance.batch.shape or self.provenance.batch.size)

    @property
    def kind(self) -> str:
        """What its hours are hours of."""
        return CPU if (self.provenance.device or "cpu").startswith("cpu") else GPU


_decode = msgspec.json.Decoder(Timed).decode


@dataclass(frozen=True)
class JobOverview:
    """How far a job is."""

    record: JobRecord
    """The latest of those that have these trials."""
    folder: str
    """Its own below jobs/: when it began, and its number if it is of a sweep."""
    done: int
    running: Mapping[Worker, int]
    """Trials that are claimed now, by worker."""
    failed: int
    """Trials that failed when they were last tried, and are neither stored nor tried again now."""
    to_do: int
    """The others."""
    seconds_left: float | None
    """Until all that can be done is done, by the stored trials' times and the workers that run now, or one; None if no
    trial of the job is stored."""
    hours: Mapping[str, float]
    """Hours that the stored trials took to be optimised, by GPU and CPU."""


@dataclass(frozen=True)
class StoreOverview:
    """How far the jobs of a store are."""

    jobs: list[JobOverview]
    """Oldest first."""
    damaged: list[str]
    """A sentence for each job record that cannot be read, so that its job is not among `jobs`."""


def overview(root: Path) -> StoreOverview:
    """The jobs of a store."""
    jobs: dict[frozenset[str], dict[str, JobRecord]] = {}
    records, damaged = _jobs(root)
    for folder, record in records.items():
        jobs.setdefault(frozenset(trial.id for trial in record.trials), {})[folder] = record
    claimed = Store(root).running()
    timed = _timed(root, frozenset().union(*jobs))
    return StoreOverview([_of(ids, records, claimed, timed) for ids, records in jobs.items()], damaged)


def _of(
    ids: frozenset[str], records: Mapping[str, JobRecord], claimed: Mapping[str, Worker], timed: Mapping[str, Timed]
) -> JobOverview:
    done = ids & timed.keys()
    now = Counter(claimed[trial] for trial in (ids & claimed.keys()) - done)
    latest: dict[str, str] = {}
    for record in records.values():
        latest |= {trial.id: trial.state for trial in record.trials if record.status is not None}
    failed = {trial for trial in ids - done - claimed.keys() if latest.get(trial) == FAILED}
    left = len(ids) - len(done) - len(failed)
    pace = median(timed[trial].pace for trial in done) if done else None
    hours: Counter[str] = Counter()
    for trial in done:
        hours[timed[trial].kind] += timed[trial].timings.seconds / 3600
    *_, (folder, record) = records.items()
    return JobOverview(
        record=record,
        folder=folder,
        done=len(done),
        running=now,
        failed=len(failed),
        to_do=left - now.total(),
        seconds_left=None if pace is None else left * pace / max(1, len(now)),
        hours=hours,
    )


def _jobs(root: Path) -> tuple[dict[str, JobRecord], list[str]]:
    """The records that can be read, by folder below jobs/, oldest first, and a sentence for each that cannot. Job
    folders are named by time, those of a sweep by number."""
    paths = [Path(folder, "job.json") for folder, _, files in os.walk(root / "jobs") if "job.json" in files]
    records, damaged = {}, []
    for path in sorted(paths, key=lambda path: [(int(part) if part.isdigit() else -1, part) for part in path.parts]):
        try:
            records[path.parent.relative_to(root / "jobs").as_posix()] = JobRecord.from_json(read_json(path))
        except (OSError, ValueError) as error:
            damaged.append(f"{path} cannot be read, and its job is left out ({first_line(error)})")
    return records, damaged


def _timed(root: Path, wanted: Iterable[str]) -> dict[str, Timed]:
    """Those of the trials that are stored, by id."""
    try:
        stored = set(os.listdir(root / "trials"))
    except OSError:
        return {}

    def read(trial: str) -> Timed | None:
        path = root / "trials" / trial / "trial.json"
        try:
            data = path.read_bytes()
            try:
                return _decode(data)
            except msgspec.DecodeError:  # a prompt with bytes that are not UTF-8
                return msgspec.convert(read_json(path), Timed)
        except (OSError, ValueError):  # damaged: the same command makes it again
            return None

    ids = sorted(stored.intersection(wanted))
    with ThreadPoolExecutor(READERS, thread_name_prefix="read") as readers:
        return {trial: one for trial, one in zip(ids, readers.map(read, ids), strict=True) if one is not None}
