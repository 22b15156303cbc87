"""Joins stores of machines that never met: whole trials, later judgements and jobs, every byte compared with what was
written.

    merged = Merged()
    merge(Path("A"), Store(Path("ALL")), merged)

Sources are only read. A trial is absent or whole in the store at any time, so a merge that was stopped goes on where it
stopped. What is there stays: a trial with the same id and another result is a conflict, and is named.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from reno.letters.counting import counted
from reno.spec.errors import first_line
from reno.store.files import FILES
from reno.store.records import JobRecord, JudgementRecord, read_json
from reno.store.staging import PART, own_name, write_through, write_whole
from reno.store.store import Store
from reno.store.stored import Damaged, Stored, checked, judge_folder, read_trial


@dataclass
class Merged:
    """What a merge did."""

    trials: int = 0
    judgements: int = 0
    jobs: int = 0
    """Those that were added."""
    there: int = 0
    """Trials, judgements and jobs that the store held already, with the same content."""
    conflicts: list[str] = field(default_factory=list)
    """A sentence for each that has the same name and another content."""
    damaged: list[str] = field(default_factory=list)
    """A sentence for each that cannot be used, and was left out."""


def is_store(root: Path) -> bool:
    """Whether a folder holds trials."""
    return (root / "trials").is_dir()


def merge(source: Path, store: Store, merged: Merged) -> None:
    """Adds what a store holds to another one, and counts it. Raises OSError if it cannot be written."""
    theirs = Store(source)
    folders = theirs.folders()
    for found in counted(checked(map(read_trial, folders)), f"trials of {theirs.name} merged", len(folders)):
        if isinstance(found, Damaged):
            merged.damaged.append(f"the trial in {found.folder} {found.state}: {found.why}")
        else:
            _merge_trial(found, store, merged)
    for place in _files(source / "judgements"):
        _merge_judgement(place, store, merged)
    for folder in _job_folders(source / "jobs"):
        _merge_job(folder, store.root / "jobs" / folder.relative_to(source / "jobs"), merged)


# --- Trials -----------------------------------------------------------------------------------------------------------


def _merge_trial(trial: Stored, store: Store, merged: Merged) -> None:
    place = store.trials / trial.id
    there = store.find(trial.id)
    if there is None and _add_trial(trial, store):
        merged.trials += 1
        return
    there = there or read_trial(place)
    if isinstance(there, Damaged):
        why = f"the trial in {place} {there.state} ({there.why}), and stays"
        merged.conflicts.append(f"{why}; move it away to get the one of {trial.folder}")
    elif same_result(trial, there):
        merged.there += 1
    else:
        merged.conflicts.append(f"the trial {trial.id[:12]} of {trial.folder.parent.parent} has another result than "
                                f"the one in {place}, which stays")  # fmt: skip


def same_result(one: Stored, other: Stored) -> bool:
    """Whether two trials with one id have the same pictures, noise, scores and curve; only times may differ."""
    if one.record.scores != other.record.scores or one.record.best_iteration != other.record.best_iteration:
        return False
    made = [name for name in FILES if name != "trace.parquet"]
    if any(one.record.files[name].sha256 != other.record.files[name].sha256 for name in made):
        return False
    return one.trace().drop(columns="seconds").equals(other.trace().drop(columns="seconds"))


def _add_trial(trial: Stored, store: Store) -> bool:
    """Writes the trial beside its place and renames it. Returns False if another process has put one there by now."""
    part = store.staging / own_name()
    part.mkdir(parents=True)
    try:
        for name in FILES:
            _link_or_write(trial.folder / name, part / name, trial)
        write_through(part / "trial.json", (trial.folder / "trial.json").read_bytes())
        whole = read_trial(part, trial.id)
        if isinstance(whole, Damaged) or whole.damage() is not None:
            raise OSError(f"{trial.folder} changes while it is read")
        try:
            part.rename(store.trials / trial.id)
        except OSError:
            if os.path.lexists(store.trials / trial.id):
                return False
            raise
        return True
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _link_or_write(source: Path, place: Path, trial: Stored) -> None:
    """A second name for the file, which no store ever changes; a copy where the disk is another or knows no links."""
    try:
        os.link(source, place)
    except OSError:
        write_through(place, trial.read(source.name))


# --- Judgements -------------------------------------------------------------------------------------------------------


def _merge_judgement(place: Path, store: Store, merged: Merged) -> None:
    try:
        record = JudgementRecord.from_json(read_json(place))
    except (OSError, ValueError) as error:
        merged.damaged.append(f"the judgement in {place} cannot be used: {first_line(error)}")
        return
    if place.parent.name != judge_folder(store.root, record.judge, record.identity).name:
        merged.damaged.append(f"the judgement in {place} cannot be used: it is not the one of this judge")
        return
    trial = store.find(record.trial)
    if not isinstance(trial, Stored) or trial.image_digests() != record.images:
        return  # of a trial that was left out, and named
    there = trial.judgement_in(judge_folder(store.root, record.judge, record.identity))
    if there is None:
        store.add_judgement(record)
        merged.judgements += 1
    elif isinstance(there, JudgementRecord) and (there.initial, there.best) == (record.initial, record.best):
        merged.there += 1
    else:
        what = "is damaged" if isinstance(there, Damaged) else "is another one"
        said = f"the judgement of {record.trial[:12]} by {record.judge} in {store.root}"
        merged.conflicts.append(f"{said} {what}, and stays; the one that is left out is {place}")


def _files(folder: Path) -> Iterator[Path]:
    """The judgements' files, in the order of their names."""
    yield from sorted(path for path in folder.glob("*/*.json") if not path.name.startswith(".") and path.is_file())


# --- Jobs -------------------------------------------------------------------------------------------------------------


def _job_folders(folder: Path) -> Iterator[Path]:
    """The folders of jobs and of sweeps that have files."""
    for inside, _, files in sorted(os.walk(folder)):
        if files:
            yield Path(inside)


def _merge_job(source: Path, place: Path, merged: Merged) -> None:
    """Adds the files of one job; job.json comes last, so that a merge that was stopped does them again. A job that was
    running when it was added before is brought up to date."""
    try:
        new = _job(source / "job.json")
    except (OSError, ValueError) as error:
        merged.damaged.append(f"{source / 'job.json'} cannot be used: {first_line(error)}")
        return
    try:
        there = _job(place / "job.json")
    except (OSError, ValueError):
        there = None
    if there is not None and there == new:
        merged.there += 1
        return
    if there is not None and there.status is not None:
        if new is None or new.status is not None or new.command != there.command:
            merged.conflicts.append(f"the job in {place} is another than the one in {source}, and stays")
        else:
            merged.there += 1  # the source holds the record of its beginning
        return
    place.mkdir(parents=True, exist_ok=True)
    for file in sorted(source.iterdir(), key=lambda file: (file.name == "job.json", file.name)):
        if file.is_file() and not file.is_symlink() and not file.name.endswith(PART):
            write_whole(place / file.name, file.read_bytes())
    merged.jobs += new is not None


def _job(path: Path) -> JobRecord | None:
    """None if there is none, as in a sweep's own folder."""
    try:
        return JobRecord.from_json(read_json(path))
    except FileNotFoundError:
        return None
