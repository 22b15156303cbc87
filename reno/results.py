"""The results store: one folder a trial, either absent or whole. No torch here: the analysis reads it too.

results/trials/<id>/
  trial.json          spec, labels, provenance, scores, judgements, timings, and the size and SHA-256 of the files below
  trace.parquet       one row an iteration
  initial.png best.png
  frames.webp         every image of the optimisation, one animation
  noise.safetensors   initial and best noise
results/judgements/<judge>-<identity>/<id>.json   what a judge said later (reno/evaluate.py); the trial stays as it is
results/jobs/<time>/  what one command did: its log, its summary, its contact sheet
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reno.errors import BadInput

SCHEMA = 1
TRACE_COLUMNS = ("iteration", "loss", "score", "regularizer", "grad_norm", "noise_norm", "seconds")
FILES = ("trace.parquet", "initial.png", "best.png", "frames.webp", "noise.safetensors")
LOSSLESS_SIDE = 128
"""Frames up to this many pixels wide are kept exactly; larger ones at WebP quality 90, or one trial would take tens
of MB."""
FRAME_MILLISECONDS = 100
JUDGED = ("initial", "best")
"""The images of a trial that judges see."""


@dataclass(frozen=True)
class Stored:
    """One whole trial of the store."""

    folder: Path
    record: dict[str, Any]
    """trial.json"""

    @property
    def id(self) -> str:
        return self.record["id"]

    def trace(self):
        """A pandas DataFrame with TRACE_COLUMNS, one row an iteration."""
        import pandas

        return pandas.read_parquet(self.folder / "trace.parquet")

    def image(self, which: str) -> np.ndarray:
        """The `initial` or `best` image, uint8 (H, W, 3), exact."""
        from PIL import Image

        with Image.open(self.folder / f"{which}.png") as image:
            return np.asarray(image.convert("RGB"))

    def frames(self) -> list[np.ndarray]:
        """Every image, uint8 (H, W, 3), one an iteration; exact up to LOSSLESS_SIDE.

        An animation in which nothing moves is stored as a still, which has no duration: the trace then says how many
        iterations it stands for. Raises BadInput if there are more or fewer images than iterations."""
        from pyarrow import ArrowException, parquet

        frames = decode_frames((self.folder / "frames.webp").read_bytes())
        try:
            iterations = parquet.read_metadata(self.folder / "trace.parquet").num_rows
        except ArrowException:
            raise BadInput(f"the trial in {self.folder} is damaged: trace.parquet cannot be read") from None
        if len(frames) == 1:
            frames *= iterations
        if len(frames) != iterations:
            raise BadInput(
                f"the trial in {self.folder} is damaged: frames.webp has {len(frames)} images of {iterations} "
                "iterations"
            )
        return frames

    def noise(self) -> dict[str, np.ndarray]:
        """`initial` and `best` noise, float32 (C, h, w)."""
        from safetensors.numpy import load_file

        return load_file(self.folder / "noise.safetensors")

    def judgements(self) -> dict[str, dict[str, Any]]:
        """What judges say of the trial, by judge: `kin`, `identity` (None where a judge does not tell), and the
        verdicts on the `initial` and the `best` image. From trial.json and from what was judged later; of several
        identities of one judge the one that judged last. A judgement of other images than the trial's does not count.
        """
        found = dict(self.record.get("judgements", {}))
        later = [entry for entry in map(self._judgement_in, _judge_folders(self.folder.parent.parent)) if entry]
        for entry in sorted(later, key=lambda entry: entry["judged"]):
            found[entry["judge"]] = {name: entry[name] for name in ("kin", "identity", *JUDGED)}
        return found

    def judged_by(self, judge: str, identity: dict[str, Any]) -> bool:
        """Whether this judge, with this identity, has judged the trial, when it ran or later."""
        if self.record.get("judgements", {}).get(judge, {}).get("identity") == identity:
            return True
        return self._judgement_in(judge_folder(self.folder.parent.parent, judge, identity)) is not None

    def image_digests(self) -> dict[str, str]:
        """SHA-256 of the files of the images that judges see, as they were written."""
        return {name: self.record["files"][f"{name}.png"]["sha256"] for name in JUDGED}

    def _judgement_in(self, folder: Path) -> dict[str, Any] | None:
        try:
            entry = read_record(folder / f"{self.id}.json")
        except (OSError, ValueError):
            return None  # not judged, or not readable: then it is judged again
        return entry if entry.get("images") == self.image_digests() else None

    def damage(self) -> str | None:
        """What differs from what was written, reading every byte; None if nothing does."""
        for name, entry in self.record["files"].items():
            data = (self.folder / name).read_bytes()
            if hashlib.sha256(data).hexdigest() != entry["sha256"]:
                return f"{name} is not what was written"
        return None


@dataclass(frozen=True)
class Finished:
    """What the job hands in of one trial."""

    record: dict[str, Any]
    """trial.json without `schema` and `files`; must have `id`."""
    trace: Sequence[dict[str, float | int | None]]
    frames: Sequence[np.ndarray]
    """uint8 (H, W, 3), one an iteration."""
    best: int
    """Which of the frames is the best."""
    initial_noise: np.ndarray
    best_noise: np.ndarray


class Store:
    """The trials under one results folder."""

    def __init__(self, root: Path):
        self.root = root
        self.trials = root / "trials"
        self.staging = root / "staging"

    def prepare(self) -> None:
        """Makes the folders and clears what dead processes left. Raises BadInput if it cannot be written."""
        try:
            for folder in (self.trials, self.staging):
                folder.mkdir(parents=True, exist_ok=True)
            probe = self.staging / f"probe-{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise BadInput(
                f"results={self.root} cannot be written ({error.strerror}); give a folder that can: results=DIR"
            ) from None
        self._clear_staging()

    def _clear_staging(self) -> None:
        """Removes half-written trials of processes of this machine that are no more, and of any machine after a day."""
        for folder in self.staging.iterdir():
            host, _, rest = folder.name.rpartition("@")
            pid = rest.partition("-")[0]
            with contextlib.suppress(OSError):
                dead = host == socket.gethostname() and pid.isdigit() and not _alive(int(pid))
                if dead or time.time() - folder.stat().st_mtime > 86400:
                    shutil.rmtree(folder, ignore_errors=True)

    def find(self, trial_id: str) -> Stored | None:
        """The trial, or None if it is not there. Raises BadInput if it is there and damaged."""
        folder = self.trials / trial_id
        if not folder.exists():
            return None
        return read_trial(folder)

    def __iter__(self) -> Iterator[Stored]:
        """Every trial, in the order of their ids. Raises BadInput at a damaged one."""
        for folder in sorted(self.trials.iterdir()) if self.trials.is_dir() else ():
            yield read_trial(folder)

    def match(self, prefix: str) -> Stored:
        """The one trial whose id starts with `prefix`. Raises BadInput if there is none, or more than one."""
        names = (
            sorted(folder.name for folder in self.trials.glob("*") if folder.name.startswith(prefix)) if prefix else []
        )
        if len(names) == 1:
            return read_trial(self.trials / names[0])
        if not names:
            raise BadInput(
                f"no trial in {self.trials} has an id that starts with {prefix!r}; `ls {self.trials}` lists them"
            )
        raise BadInput(f"{len(names)} trials in {self.trials} have ids that start with {prefix!r}; give more of the id")

    def add_judgement(self, trial: Stored, judge: str, entry: dict[str, Any]) -> None:
        """Writes one judge's word on a trial beside the store's trials, whole or not at all.

        entry: `kin`, `identity`, the verdicts `initial` and `best`, `judged` (when, ISO 8601 in UTC) and `provenance`.
        """
        folder = judge_folder(self.root, judge, entry["identity"])
        folder.mkdir(parents=True, exist_ok=True)
        record = {"trial": trial.id, "judge": judge, "images": trial.image_digests(), **entry}
        part = folder / f".{trial.id}-{uuid.uuid4().hex}.part"
        try:
            _write_through(part, record_bytes(record))
            part.replace(folder / f"{trial.id}.json")
        finally:
            part.unlink(missing_ok=True)

    def commit(self, finished: Finished) -> bool:
        """Writes a trial beside its place and renames it into it. False if another process got there first."""
        files = encode_files(finished)
        record = {"schema": SCHEMA, **finished.record}
        record["files"] = {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()
        }
        part = self.staging / f"{socket.gethostname()}@{os.getpid()}-{uuid.uuid4().hex}"
        part.mkdir(parents=True)
        try:
            for name, data in files.items():
                _write_through(part / name, data)
            _write_through(part / "trial.json", record_bytes(record))
            try:
                part.rename(self.trials / record["id"])
            except OSError:
                if not (self.trials / record["id"]).exists():
                    raise
                return False
            _sync_folder(self.trials)
            return True
        finally:
            shutil.rmtree(part, ignore_errors=True)


def judge_folder(root: Path, judge: str, identity: dict[str, Any]) -> Path:
    """Where a judge's later judgements are, one file a trial. Another identity (weights, threshold, version) is another
    folder: judgements are added, never changed."""
    return root / "judgements" / f"{judge}-{identity_digest(identity)[:12]}"


def identity_digest(identity: dict[str, Any]) -> str:
    """SHA-256 of a judge's identity."""
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _judge_folders(root: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(root / "judgements") if entry.is_dir()]
    except OSError:
        return []


def record_bytes(record: dict[str, Any]) -> bytes:
    """A record as the store keeps it: JSON in UTF-8, in which a prompt's bytes that were no text stay what they were.

    Raises ValueError at a number that is not finite, which JSON does not have."""
    return json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")


def read_record(path: Path) -> Any:
    """What `record_bytes` was given. Raises OSError or ValueError if the file cannot be read."""
    return json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))


def read_trial(folder: Path) -> Stored:
    """A trial's record, with the presence and sizes of its files checked. Raises BadInput if it is damaged."""

    def damaged(why: str) -> BadInput:
        return BadInput(
            f"the trial in {folder} is damaged: {why}; delete that folder and run the same command again to remake it"
        )

    try:
        record = read_record(folder / "trial.json")
    except FileNotFoundError:
        raise damaged("trial.json is missing") from None
    except (OSError, ValueError):
        raise damaged("trial.json cannot be read") from None
    if not isinstance(record, dict) or not isinstance(record.get("files"), dict) or record.get("id") != folder.name:
        raise damaged("trial.json is not the record of this trial")
    if record.get("schema") != SCHEMA:
        raise BadInput(
            f"the trial in {folder} has schema {record.get('schema')} and this version reads {SCHEMA}; use "
            f"another results=DIR"
        )
    for name in FILES:
        try:
            size = (folder / name).stat().st_size
        except OSError:
            raise damaged(f"{name} is missing") from None
        if size != record["files"].get(name, {}).get("bytes"):
            raise damaged(f"{name} has {size} bytes")
    return Stored(folder, record)


def encode_files(finished: Finished) -> dict[str, bytes]:
    """The bytes of each of FILES."""
    from safetensors.numpy import save

    return {
        "trace.parquet": _parquet(finished.trace),
        "initial.png": encode_png(finished.frames[0]),
        "best.png": encode_png(finished.frames[finished.best]),
        "frames.webp": encode_frames(finished.frames),
        "noise.safetensors": save(
            {
                "initial": np.ascontiguousarray(finished.initial_noise, dtype=np.float32),
                "best": np.ascontiguousarray(finished.best_noise, dtype=np.float32),
            }
        ),
    }


def _parquet(trace: Sequence[dict[str, float | int | None]]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    fields = [(name, pyarrow.int64() if name == "iteration" else pyarrow.float64()) for name in TRACE_COLUMNS]
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(list(trace), schema=pyarrow.schema(fields)), buffer)
    return buffer.getvalue()


def encode_png(pixels: np.ndarray) -> bytes:
    """uint8 (H, W, 3) as PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def encode_frames(frames: Sequence[np.ndarray]) -> bytes:
    """uint8 (H, W, 3) each, as one animated WebP."""
    from PIL import Image

    first, *rest = [Image.fromarray(frame) for frame in frames]
    quality = {"quality": 90, "method": 1}
    if first.width <= LOSSLESS_SIDE:  # whole frames by the quickest method: half the time, and files of about the size
        quality = {"lossless": True, "quality": 0, "exact": True, "method": 0, "kmax": 1}
    buffer = io.BytesIO()
    first.save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=rest,
        duration=FRAME_MILLISECONDS,
        loop=0,
        minimize_size=False,
        **quality,
    )
    return buffer.getvalue()


def decode_frames(data: bytes) -> list[np.ndarray]:
    """The frames that `encode_frames` was given. The encoder merges a frame with an identical one before it; how long
    a frame lasts says how many it stands for."""
    from PIL import Image, ImageSequence

    frames = []
    with Image.open(io.BytesIO(data)) as animation:
        for frame in ImageSequence.Iterator(animation):
            pixels = np.asarray(frame.convert("RGB"))
            frames += [pixels] * max(1, round(frame.info.get("duration", FRAME_MILLISECONDS) / FRAME_MILLISECONDS))
    return frames


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
