"""The folder that keeps the results: one folder per trial, either absent or whole.

    store = Store(Path("results"))
    for found in store:                       # Stored, or Damaged if the trial cannot be used
        ...
    store.commit(Finished(record, trace, frames, ...))

A trial is written beside its place and renamed into it. If two processes race to the same trial, the first rename wins.
A damaged trial is moved to damaged/ before it is made again; nothing that a user could want is deleted.

The folder may be the copy of a store elsewhere (copies.py). What is written is then sent there, and who reads calls
`catch_up` first.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from reno.spec.addresses import named
from reno.spec.errors import BadInput, why_not_written
from reno.store.claims import Claims, Worker, running
from reno.store.copies import RECORD, copy_of
from reno.store.files import TraceRow, encode_frames, encode_noise, encode_png, encode_trace
from reno.store.leases import Leases, running_there
from reno.store.records import SCHEMA, FileEntry, JobRecord, JudgementRecord, TrialRecord, sealed_bytes
from reno.store.staging import clear, clear_parts, clear_scratch, own_name, write_through, write_whole
from reno.store.stored import BROKEN, UNREADABLE, Damaged, Stored, is_folder, judge_folder, read_trial, whole

_ID = re.compile(r"[0-9a-f]{64}")
_cleared: set[Path] = set()
"""The stores from which this process has removed half-written files."""


@dataclass(frozen=True)
class Finished:
    """A trial that ran to its end, as the runner passes it to the store."""

    record: TrialRecord
    """Without `files`, which the store fills in."""
    trace: Sequence[TraceRow]
    frames: Sequence[np.ndarray]
    """uint8 (H, W, 3), one per iteration."""
    best: int
    """The index of the best frame."""
    initial_noise: np.ndarray
    """(C, h, w), as `best_noise`."""
    best_noise: np.ndarray

    def files(self) -> dict[str, bytes]:
        """The bytes of each of FILES."""
        return {
            "trace.parquet": encode_trace(self.trace),
            "initial.png": encode_png(self.frames[0]),
            "best.png": encode_png(self.frames[self.best]),
            "frames.webp": encode_frames(self.frames),
            "noise.safetensors": encode_noise(self.initial_noise, self.best_noise),
        }


class Store:
    """The trials under one results folder."""

    def __init__(self, root: Path):
        """Raises BadInput if the root is the copy of a store elsewhere that cannot be reached from here."""
        self.root = root
        self.trials = root / "trials"
        self.staging = root / "staging"
        self.copy = copy_of(root)
        """None for a store on a disk."""

    def prepare(self) -> None:
        """Makes the folders and removes what dead processes were writing. Raises BadInput if the folders, or the store
        elsewhere, cannot be written."""
        if self.copy is not None:
            try:
                self.copy.check()
            except OSError as error:
                raise BadInput(f"results={self.name} cannot be written ({why_not_written(error)})") from None
        try:
            for folder in (self.trials, self.staging):
                folder.mkdir(parents=True, exist_ok=True)
            probe = self.staging / own_name()
            probe.touch()
            now = probe.stat().st_mtime  # by the clock of the file server
            probe.unlink()
        except OSError as error:
            raise BadInput(
                f"results={self.root} cannot be written ({error.strerror}); give another folder: results=DIR"
            ) from None
        clear(self.staging, now)
        if self.root not in _cleared:  # a sweep of a thousand jobs need not walk a thousand folders each time
            _cleared.add(self.root)
            clear_parts(self.root / "jobs", now)
            clear_parts(self.root / "judgements", now)
            clear_parts(self.root / "running", now)
            clear_scratch()

    # --- A store elsewhere --------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What the user calls it: its folder, or its address."""
        return named(self.root)

    def catch_up(self, trials: Collection[str] | None = None, files: Collection[str] = (), jobs: bool = True) -> None:
        """Brings the copy of a store elsewhere up to date, as `Copy.catch_up` does; nothing for a store on a disk.
        Raises BadInput if it cannot be reached."""
        if self.copy is not None:
            try:
                self.copy.catch_up(trials, files, jobs)
            except OSError as error:
                raise BadInput(f"results={self.name} cannot be read ({why_not_written(error)})") from error

    def look(self, trials: Collection[str]) -> None:
        """Makes what others have stored by now visible to `find`."""
        with contextlib.suppress(OSError):
            if self.copy is not None:
                self.copy.look(trials)
            else:  # an NFS client asks for a folder again when it is opened
                os.close(os.open(self.trials, os.O_RDONLY))

    def send(self, at_once: bool = True) -> list[str]:
        """Sends what waits to be sent to a store elsewhere. Returns a sentence if that fails. at_once: as for
        `Copy.send`."""
        return self.copy.send(at_once) if self.copy is not None else []

    def claims(self, device: str) -> Claims | Leases:
        """The leases of a worker on this device, to be used in a `with`. Raises OSError where the store has none."""
        if self.copy is None:
            return Claims(self.root, device)
        if not self.copy.remote.creates:
            raise OSError(f"{self.copy.remote.kind}:// has no conditional writes")
        return Leases(self.copy.remote, device)

    def running(self) -> dict[str, Worker]:
        """The worker that runs each trial that is claimed now, by trial. Raises OSError if the store elsewhere cannot
        be reached."""
        return running(self.root) if self.copy is None else running_there(self.copy.remote)

    # --- Trials -------------------------------------------------------------------------------------------------------

    def find(self, trial_id: str) -> Stored | Damaged | None:
        """The trial; None if it is not there."""
        folder = self.trials / trial_id
        try:
            os.lstat(folder)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return Damaged(trial_id, folder, error.strerror, UNREADABLE)
        return read_trial(folder)

    def __iter__(self) -> Iterator[Stored | Damaged]:
        """Every trial, in the order of their ids. Plain files, such as a file manager's, are skipped. Raises BadInput
        if the folder cannot be read."""
        return map(read_trial, self.folders())

    def whole(self) -> Iterator[Stored]:
        """Every trial that can be read, in the order of their ids."""
        return (found for found in self if isinstance(found, Stored))

    def match(self, prefix: str) -> Stored:
        """The one trial whose id starts with `prefix`. Raises BadInput if there is none or more than one, or if it is
        damaged."""
        folders = [folder for folder in self.folders() if folder.name.startswith(prefix)]
        if not prefix or not folders:
            raise BadInput(
                f"no trial in {self.trials} has an id that starts with {prefix!r}; `ls {self.trials}` lists them"
            )
        if len(folders) > 1:
            raise BadInput(
                f"{len(folders)} trials in {self.trials} have ids that start with {prefix!r}; give more of the id"
            )
        return whole(read_trial(folders[0]))

    def folders(self, without: Collection[str] = ()) -> list[Path]:
        """The places of the trials, also of one in whose place is a file, without these trials."""
        try:
            with os.scandir(self.trials) as entries:
                found = [Path(entry.path) for entry in entries if is_folder(entry) or _ID.fullmatch(entry.name)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise BadInput(
                f"{self.trials} cannot be read ({error.strerror}); give yourself the right to read it, or another "
                "results=DIR"
            ) from None
        return sorted(folder for folder in found if folder.name not in without)

    def add_judgement(self, record: JudgementRecord) -> None:
        """Writes a judgement into judgements/, whole or not at all. If another process has judged the same images by
        now, its judgement stays. What is damaged or of other images is moved to damaged/. Raises OSError, and BadInput
        if what is in its place cannot be read, or in a store elsewhere not be moved."""
        place = judge_folder(self.root, record.judge, record.identity) / f"{record.trial}.json"
        key = place.relative_to(self.root).as_posix()
        place.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(place):
            stored = self.find(record.trial)
            found = stored.judgement_in(place.parent) if isinstance(stored, Stored) else None
            if isinstance(found, JudgementRecord) and found.images == record.images:
                return
            if isinstance(found, Damaged) and found.state == UNREADABLE:
                raise BadInput(found.sentence)
            if self.copy is not None:
                try:
                    self.copy.set_judgement_aside(key)
                except OSError as error:
                    what = f"{self.name}/{key} is damaged and cannot be moved to damaged/ there"
                    raise BadInput(f"{what} ({why_not_written(error)}); the same command tries it again") from error
            with contextlib.suppress(FileNotFoundError):  # another process has moved it
                self._move_aside(place)
        write_whole(place, sealed_bytes(record))
        if self.copy is not None:
            self.copy.waiting[key] = "it is not sent yet"

    def set_aside(self, damaged: Damaged) -> str | None:
        """Moves a damaged trial to damaged/, so that it can be made again. Returns a sentence for the user; None if
        another process has made it again by now. Raises BadInput if it cannot be moved."""
        found = self.find(damaged.trial)
        if found is None or (isinstance(found, Stored) and found.damage() is None):
            return None
        try:
            moved = self._move_aside(damaged.folder)
            if self.copy is not None:
                self.copy.set_aside(damaged.trial, moved.name)
        except FileNotFoundError:  # another process has moved it
            return None
        except OSError as error:
            raise BadInput(
                f"{damaged.what} in {damaged.folder} {damaged.state} ({damaged.why}) and cannot be moved to "
                f"{self.root / 'damaged'} ({error.strerror}); move it away by hand"
            ) from None
        again = read_trial(moved, damaged.trial)
        if isinstance(again, Stored) and again.damage() is None:  # made again just before it was moved
            with contextlib.suppress(OSError):  # and then again by a third process
                moved.rename(damaged.folder)
            return None
        return f"the trial {damaged.trial[:12]} was damaged: {damaged.why}; it is in {moved} now and is made again"

    def _move_aside(self, place: Path) -> Path:
        """Moves what is in a place of the store to damaged/, under a name that is new."""
        kept = self.root / "damaged" / place.relative_to(self.root)
        kept = kept.with_name(f"{kept.name}-{uuid.uuid4().hex[:8]}")
        kept.parent.mkdir(parents=True, exist_ok=True)
        place.rename(kept)
        return kept

    def commit(self, finished: Finished) -> Stored:
        """Stores a trial, and sends it if the store is elsewhere; if that fails it waits, as `Copy.waiting` says.
        Returns the trial, or the one that another process stored first. Raises OSError."""
        stored = self._commit(finished)
        if self.copy is not None:
            self.copy.deliver(f"trials/{stored.id}/{RECORD}")
        return stored

    def _commit(self, finished: Finished) -> Stored:
        files = finished.files()
        entries = {
            name: FileEntry(bytes=len(data), sha256=hashlib.sha256(data).hexdigest()) for name, data in files.items()
        }
        record = msgspec.structs.replace(finished.record, schema=SCHEMA, files=entries)
        place = self.trials / record.id
        part = self.staging / own_name()
        part.mkdir(parents=True)
        try:
            for name, data in files.items():
                write_through(part / name, data)
            write_through(part / "trial.json", sealed_bytes(record))
            try:
                part.rename(place)
            except OSError:
                found = self.find(record.id)
                if isinstance(found, Stored):
                    return found
                if found is None or found.state != BROKEN:
                    raise
                self.set_aside(found)
                part.rename(place)
            _sync_folder(self.trials)
            return Stored(place, record)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def write_job_record(folder: Path, record: JobRecord) -> None:
    """Writes job.json, whole or not at all. Raises OSError."""
    write_whole(folder / "job.json", sealed_bytes(record))


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
