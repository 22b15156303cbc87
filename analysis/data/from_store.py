"""The frames of a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from analysis.data.frames import tidy
from analysis.data.results import Results
from reno.spec.errors import BadInput
from reno.store.records import FAILED, JobRecord, TrialRecord, read_json
from reno.store.store import Damaged, Store


def load_store(root: Path) -> Results:
    """Reads the store in `root`. Raises BadInput if it has no whole trial."""
    records, broken = _read_trials(root)
    jobs, unread = _read_jobs(root)
    if not records:
        raise BadInput(_nothing(root, jobs, (*broken.values(), *unread)))
    return tidy(records, jobs, root=root, broken=broken, unread=unread)


def _read_trials(root: Path) -> tuple[list[TrialRecord], dict[str, str]]:
    """The records of the whole trials, later judgements among theirs, and a sentence for each damaged trial."""
    records, broken = [], {}
    for found in Store(root):
        if isinstance(found, Damaged):
            broken[found.trial] = found.sentence
        else:
            records.append(msgspec.structs.replace(found.record, judgements=found.judgements()))
    return records, broken


def _read_jobs(root: Path) -> tuple[list[JobRecord], list[str]]:
    """The records of the jobs, of single runs and of sweeps, oldest first, and a sentence for each unreadable one."""
    jobs, unread = [], []
    for path in sorted((root / "jobs").glob("**/job.json"), key=_job_order):
        try:
            jobs.append(JobRecord.from_json(read_json(path)))
        except (OSError, ValueError):
            unread.append(f"{path} cannot be read as a job's record; trials that only it names are not counted")
    return jobs, unread


def _job_order(path: Path) -> tuple:
    """Job folders are named by time; the jobs of a sweep by number, 10 after 9."""
    return tuple((int(part) if part.isdigit() else -1, part) for part in path.parts)


def _nothing(root: Path, jobs: Sequence[JobRecord], damaged: Sequence[str]) -> str:
    """Why there is nothing to report, in one sentence."""
    if not root.is_dir():
        return f"there is no folder {root}; give the one that `python -m reno.run` wrote to: results=DIR"
    if damaged:
        return f"{root} holds no whole trial, only {len(damaged)} damaged ones, the first being: {damaged[0]}"
    failed = [trial for job in jobs for trial in job.trials if trial.state == FAILED]
    if failed:
        reason = failed[-1].reason or "no reason is recorded"
        return f"{root} holds no trial: all {len(failed)} that were run failed, the last with: {reason}"
    return f"{root} holds no trial; run one first, for example `python -m reno.run results={root}`"
