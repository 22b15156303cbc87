"""The folder that keeps the results: one folder per trial, either absent or whole.

    store = Store(Path("results"))
    for found in store:                       # Stored, or Damaged if the trial cannot be used
        ...
    store.commit(Finished(record, trace, frames, ...))

A trial is written beside its place and renamed into it. If two processes race to the same trial, the first rename wins.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from pyarrow import ArrowException, parquet

from reno.spec.errors import BadInput
from reno.spec.trial import digest
from reno.store.files import (
    FILES,
    TraceRow,
    decode_frames,
    decode_png,
    encode_frames,
    encode_noise,
    encode_png,
    encode_trace,
)
from reno.store.records import (
    JUDGED,
    SCHEMA,
    FileEntry,
    JobRecord,
    JudgedTrial,
    JudgementRecord,
    TrialRecord,
    read_json,
    record_bytes,
)

HALF_WRITTEN_SECONDS = 86400
"""Age from which a half-written trial of another machine is taken to be abandoned."""


@dataclass(frozen=True)
class Damaged:
    """A trial of the store that cannot be used."""

    trial: str
    folder: Path
    why: str
    remedy: str = "delete that folder and run the same command again to remake it"

    @property
    def sentence(self) -> str:
        return f"the trial in {self.folder} is damaged: {self.why}; {self.remedy}"


@dataclass(frozen=True)
class Stored:
    """One whole trial of the store."""

    folder: Path
    record: TrialRecord

    @property
    def id(self) -> str:
        return self.record.id

    def trace(self):
        """A pandas DataFrame with TRACE_COLUMNS, one row per iteration. Raises BadInput if it cannot be read."""
        import pandas

        try:
            return pandas.read_parquet(self.folder / "trace.parquet")
        except (OSError, ArrowException):
            raise self._damaged("trace.parquet cannot be read") from None

    def image(self, which: str) -> np.ndarray:
        """The `initial` or `best` image, uint8 (H, W, 3), exact. Raises BadInput if it is not what was written."""
        name = f"{which}.png"
        try:
            data = (self.folder / name).read_bytes()
        except OSError:
            raise self._damaged(f"{name} cannot be read") from None
        if hashlib.sha256(data).hexdigest() != self.record.files[name].sha256:
            raise self._damaged(f"{name} is not what was written")
        return decode_png(data)

    def frames(self) -> list[np.ndarray]:
        """Every image, uint8 (H, W, 3), one per iteration; exact up to LOSSLESS_SIDE pixels.

        If all images are equal, the file is a still image without a duration; the trace then says how many iterations
        it stands for. Raises BadInput if a file cannot be read, or there are more or fewer images than iterations."""
        try:
            frames = decode_frames((self.folder / "frames.webp").read_bytes())
        except OSError:
            raise self._damaged("frames.webp cannot be read") from None
        try:
            iterations = parquet.read_metadata(self.folder / "trace.parquet").num_rows
        except (OSError, ArrowException):
            raise self._damaged("trace.parquet cannot be read") from None
        if len(frames) == 1:
            frames *= iterations
        if len(frames) != iterations:
            raise self._damaged(f"frames.webp has {len(frames)} images of {iterations} iterations")
        return frames

    def noise(self) -> dict[str, np.ndarray]:
        """`initial` and `best` noise, float32 (C, h, w). Raises BadInput if it cannot be read."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return load_file(self.folder / "noise.safetensors")
        except (OSError, SafetensorError):
            raise self._damaged("noise.safetensors cannot be read") from None

    def judgements(self) -> dict[str, JudgedTrial]:
        """The judgements of the trial, by judge: those of trial.json and later ones. If several identities of a judge
        have judged it, the last judgement counts. Judgements of images other than the trial's are ignored."""
        found = dict(self.record.judgements)
        later = [record for record in map(self._judgement_in, _judge_folders(self._root)) if record]
        for record in sorted(later, key=lambda record: record.judged):
            found[record.judge] = record.judged_trial
        return found

    def judged_by(self, judge: str, identity: dict[str, Any]) -> bool:
        """Whether this judge, with this identity, has judged the trial, when it ran or later."""
        said = self.record.judgements.get(judge)
        if said is not None and said.identity == identity:
            return True
        return self._judgement_in(judge_folder(self._root, judge, identity)) is not None

    def image_digests(self) -> dict[str, str]:
        """SHA-256 of the image files that judges see, as they were written; by image."""
        return {name: self.record.files[f"{name}.png"].sha256 for name in JUDGED}

    def changed_file(self) -> str | None:
        """A phrase that names the first file that is not what was written; None if all are. Reads every byte."""
        for name, entry in self.record.files.items():
            data = (self.folder / name).read_bytes()
            if hashlib.sha256(data).hexdigest() != entry.sha256:
                return f"{name} is not what was written"
        return None

    @property
    def _root(self) -> Path:
        return self.folder.parent.parent

    def _judgement_in(self, folder: Path) -> JudgementRecord | None:
        try:
            record = JudgementRecord.from_json(read_json(folder / f"{self.id}.json"))
        except (OSError, ValueError):
            return None  # not judged, or not readable: then it is judged again
        return record if record.images == self.image_digests() else None

    def _damaged(self, why: str) -> BadInput:
        return BadInput(Damaged(self.id, self.folder, why).sentence)


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
        self.root = root
        self.trials = root / "trials"
        self.staging = root / "staging"

    def prepare(self) -> None:
        """Makes the folders and removes half-written trials of dead processes. Raises BadInput if the folders cannot be
        written."""
        try:
            for folder in (self.trials, self.staging):
                folder.mkdir(parents=True, exist_ok=True)
            probe = self.staging / f"probe-{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise BadInput(
                f"results={self.root} cannot be written ({error.strerror}); give another folder: results=DIR"
            ) from None
        self._clear_staging()

    def _clear_staging(self) -> None:
        """Removes half-written trials of processes of this machine that have ended, and of any machine after a day."""
        for folder in self.staging.iterdir():
            host, _, rest = folder.name.rpartition("@")
            pid = rest.partition("-")[0]
            with contextlib.suppress(OSError):
                dead = host == socket.gethostname() and pid.isdigit() and not _alive(int(pid))
                if dead or time.time() - folder.stat().st_mtime > HALF_WRITTEN_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)

    def find(self, trial_id: str) -> Stored | Damaged | None:
        """The trial; None if it is not there."""
        folder = self.trials / trial_id
        return read_trial(folder) if folder.exists() else None

    def __iter__(self) -> Iterator[Stored | Damaged]:
        """Every trial, in the order of their ids. Plain files, such as a file manager's, are skipped."""
        for folder in sorted(self.trials.iterdir()) if self.trials.is_dir() else ():
            if folder.is_dir():
                yield read_trial(folder)

    def whole(self) -> Iterator[Stored]:
        """Every trial that can be read, in the order of their ids."""
        return (found for found in self if isinstance(found, Stored))

    def match(self, prefix: str) -> Stored:
        """The one trial whose id starts with `prefix`. Raises BadInput if there is none or more than one, or if it is
        damaged."""
        folders = [folder for folder in self.trials.glob("*") if folder.is_dir() and folder.name.startswith(prefix)]
        if not prefix or not folders:
            raise BadInput(
                f"no trial in {self.trials} has an id that starts with {prefix!r}; `ls {self.trials}` lists them"
            )
        if len(folders) > 1:
            raise BadInput(
                f"{len(folders)} trials in {self.trials} have ids that start with {prefix!r}; give more of the id"
            )
        return whole(read_trial(folders[0]))

    def add_judgement(self, record: JudgementRecord) -> None:
        """Writes a judgement into judgements/, whole or not at all. Raises OSError."""
        folder = judge_folder(self.root, record.judge, record.identity)
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{record.trial}-{uuid.uuid4().hex}.part"
        try:
            _write_through(part, record_bytes(record.to_json()))
            part.replace(folder / f"{record.trial}.json")
        finally:
            part.unlink(missing_ok=True)

    def commit(self, finished: Finished) -> Stored:
        """Stores a trial. Returns it, or the one that another process stored first. Raises OSError."""
        files = finished.files()
        entries = {
            name: FileEntry(bytes=len(data), sha256=hashlib.sha256(data).hexdigest()) for name, data in files.items()
        }
        record = msgspec.structs.replace(finished.record, schema=SCHEMA, files=entries)
        place = self.trials / record.id
        part = self.staging / f"{socket.gethostname()}@{os.getpid()}-{uuid.uuid4().hex}"
        part.mkdir(parents=True)
        try:
            for name, data in files.items():
                _write_through(part / name, data)
            _write_through(part / "trial.json", record_bytes(record.to_json()))
            try:
                part.rename(place)
            except OSError:
                if not place.exists():
                    raise
                return whole(read_trial(place))
            _sync_folder(self.trials)
            return Stored(place, record)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def read_trial(folder: Path) -> Stored | Damaged:
    """The trial in a folder. Checks its record's values, and that its files are there with the recorded sizes."""

    def damaged(why: str, **remedy: str) -> Damaged:
        return Damaged(folder.name, folder, why, **remedy)

    try:
        values = read_json(folder / "trial.json")
    except FileNotFoundError:
        return damaged("trial.json is missing")
    except (OSError, ValueError):
        return damaged("trial.json cannot be read")
    if not isinstance(values, dict) or values.get("id") != folder.name:
        return damaged("trial.json is not the record of this trial")
    if values.get("schema") != SCHEMA:
        return damaged(
            f"it has schema {values.get('schema')} and this version reads {SCHEMA}", remedy="use another results=DIR"
        )
    try:
        record = TrialRecord.from_json(values)
    except ValueError as error:
        return damaged(f"trial.json is not a trial's record ({error})")
    for name in FILES:
        try:
            size = (folder / name).stat().st_size
        except OSError:
            return damaged(f"{name} is missing")
        if name not in record.files or size != record.files[name].bytes:
            return damaged(f"{name} has {size} bytes, which is not the recorded size")
    return Stored(folder, record)


def whole(found: Stored | Damaged) -> Stored:
    """The trial. Raises BadInput if it is damaged."""
    if isinstance(found, Damaged):
        raise BadInput(found.sentence)
    return found


def write_job_record(folder: Path, record: JobRecord) -> None:
    """Writes job.json, whole or not at all. Raises OSError."""
    part = folder / "job.json.part"
    part.write_bytes(record_bytes(record.to_json()))
    part.replace(folder / "job.json")


def judge_folder(root: Path, judge: str, identity: dict[str, Any] | None) -> Path:
    """The folder of a judge's later judgements, one file per trial. Each identity (weights, threshold, version) has its
    own folder: judgements are added, never changed."""
    return root / "judgements" / f"{judge}-{digest(identity)[:12]}"


def _judge_folders(root: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(root / "judgements") if entry.is_dir()]
    except OSError:
        return []


def _write_through(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
