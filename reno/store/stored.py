"""Reading one trial of a store: its record, its files and the judgements of it, each compared with what was written.

    found = read_trial(folder)                # Stored, or Damaged if the trial cannot be used
    for found in checked(store):              # the same, with every byte compared
        ...

A record holds the SHA-256 of each file, and of itself. Nothing is decoded before its bytes are known to be those that
were written.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pyarrow import parquet

from reno.spec.errors import BadInput, first_line
from reno.spec.prompts import Binding
from reno.spec.trial import digest
from reno.store.copies import is_elsewhere, read_or_fetch
from reno.store.files import FILES, decode_frames, decode_png
from reno.store.records import (
    JUDGED,
    SCHEMA,
    JudgedTrial,
    JudgementRecord,
    TrialRecord,
    read_json,
)

T = TypeVar("T")

BROKEN, UNREADABLE, OTHER_VERSION = "is damaged", "cannot be read", "is of another version"
"""What a trial is that cannot be used. Only one that is BROKEN is made again."""
TRIAL, JUDGEMENT, JUDGEMENTS = "the trial", "the judgement", "the folder of judgements"
_REMEDIES = {
    (TRIAL, BROKEN): "the command that made it, typed again, moves it to damaged/ and makes it again",
    (JUDGEMENT, BROKEN): "reno.evaluate moves it to damaged/ and judges the trial again",
    (TRIAL, OTHER_VERSION): "use another results=DIR",
}
_GIVE_RIGHT = "give yourself the right to read it, or move it away, and type the same command again"
READERS = 8
"""Files that are read side by side: a disk, and a file server even more, answers several at once."""
AT_A_TIME = 1024
"""Trials that are held at a time while a store is read."""


@dataclass(frozen=True)
class Damaged:
    """A trial of the store that cannot be used, or a later judgement of one."""

    trial: str
    folder: Path
    """Its place; a later judgement's is a file."""
    why: str
    state: str = BROKEN
    """BROKEN, UNREADABLE or OTHER_VERSION."""
    what: str = TRIAL
    """TRIAL, JUDGEMENT or JUDGEMENTS."""

    @property
    def sentence(self) -> str:
        remedy = _REMEDIES.get((self.what, self.state), _GIVE_RIGHT)
        return f"{self.what} in {self.folder} {self.state}: {self.why}; {remedy}"


@dataclass(frozen=True)
class Stored:
    """One whole trial of the store."""

    folder: Path
    record: TrialRecord

    @property
    def id(self) -> str:
        return self.record.id

    def trace(self):
        """A pandas DataFrame with TRACE_COLUMNS, one row per iteration. Raises BadInput if it is not what was
        written."""
        import pandas

        return pandas.read_parquet(io.BytesIO(self.read("trace.parquet")))

    def image(self, which: str) -> np.ndarray:
        """The `initial` or `best` image, uint8 (H, W, 3), exact. Raises BadInput if it is not what was written."""
        return decode_png(self.read(f"{which}.png"))

    def frames(self) -> list[np.ndarray]:
        """Every image, uint8 (H, W, 3), one per iteration; exact up to LOSSLESS_SIDE pixels.

        If all images are equal, the file is a still image without a duration; the trace then says how many iterations
        it stands for. Raises BadInput if a file is not what was written, or there are more or fewer images than
        iterations."""
        frames = decode_frames(self.read("frames.webp"))
        iterations = parquet.read_metadata(io.BytesIO(self.read("trace.parquet"))).num_rows
        if len(frames) == 1:
            frames *= iterations
        if len(frames) != iterations:
            why = f"frames.webp has {len(frames)} images of {iterations} iterations"
            raise BadInput(Damaged(self.id, self.folder, why).sentence)
        return frames

    def noise(self) -> dict[str, np.ndarray]:
        """`initial` and `best` noise, float32 (C, h, w). Raises BadInput if it is not what was written."""
        from safetensors.numpy import load

        return load(self.read("noise.safetensors"))

    def read(self, name: str) -> bytes:
        """The bytes of one of FILES. Raises BadInput if they are not what was written."""
        found = self.bytes_of(name)
        if isinstance(found, Damaged):
            raise BadInput(found.sentence)
        return found

    def damage(self, names: Sequence[str] = FILES) -> Damaged | None:
        """The first of these files that is not what was written, as Damaged; None if there is none. Reads every byte;
        of a store elsewhere, those of the files that have been fetched."""
        here = (name for name in names if os.path.lexists(self.folder / name) or not is_elsewhere(self.folder, name))
        return next((found for found in map(self.bytes_of, here) if isinstance(found, Damaged)), None)

    def bytes_of(self, name: str) -> bytes | Damaged:
        """The bytes of one of FILES; Damaged if they are not what was written."""
        try:
            data = read_or_fetch(self.folder / name)
        except OSError as error:
            return _cannot_read(self.id, self.folder, name, error)
        if hashlib.sha256(data).hexdigest() != self.record.files[name].sha256:
            return Damaged(self.id, self.folder, f"{name} is not what was written")
        return data

    # --- Judgements ---------------------------------------------------------------------------------------------------

    def judgements(self) -> dict[str, JudgedTrial]:
        """The judgements of the trial, by judge: those of trial.json and later ones. If several identities of a judge
        have judged it, the last judgement counts. Judgements of other images are ignored, and so are damaged ones,
        which `later` names."""
        return self.judgements_with(self.later()[0])

    def judgements_with(self, later: Iterable[JudgementRecord]) -> dict[str, JudgedTrial]:
        """The judgements of the trial as in `judgements`, from those of trial.json and these later ones."""
        found = dict(self.record.judgements)
        for record in sorted(later, key=lambda record: record.judged):
            found[record.judge] = record.judged_trial
        return found

    def later(self) -> tuple[list[JudgementRecord], list[Damaged]]:
        """The later judgements of the trial's images, and those that cannot be used."""
        try:
            folders = _judge_folders(self._root)
        except OSError as error:
            return [], [_cannot_read(self.id, self._root / "judgements", "", error, JUDGEMENTS)]
        found = [one for one in map(self.judgement_in, folders) if one]
        return (
            [one for one in found if isinstance(one, JudgementRecord)],
            [one for one in found if isinstance(one, Damaged)],
        )

    def judgement_by(self, judge: str, identity: dict[str, Any]) -> JudgedTrial | Damaged | None:
        """What this judge, with this identity, said of the trial, when it ran or later; None if it has not judged
        it."""
        said = self.record.judgements.get(judge)
        if said is not None and said.identity == identity:
            return said
        found = self.judgement_in(judge_folder(self._root, judge, identity))
        return found.judged_trial if isinstance(found, JudgementRecord) else found

    def judgement_in(self, folder: Path) -> JudgementRecord | Damaged | None:
        """The judgement in a judge's folder; None if there is none, or if it is of other images."""
        place = folder / f"{self.id}.json"
        try:
            record = JudgementRecord.from_json(read_json(place))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return _cannot_read(self.id, place, "", error, JUDGEMENT)
        except ValueError as error:
            return Damaged(self.id, place, first_line(error), what=JUDGEMENT)
        if record.trial != self.id or judge_folder(self._root, record.judge, record.identity).name != folder.name:
            return Damaged(self.id, place, "it is not the one of this trial and judge", what=JUDGEMENT)
        if record.images != self.image_digests():
            return None
        if not _judges(record.judged_trial, self.record.bindings):
            return Damaged(self.id, place, "it is not about the prompt's bindings", what=JUDGEMENT)
        return record

    def image_digests(self) -> dict[str, str]:
        """SHA-256 of the image files that judges see, as they were written; by image."""
        return {name: self.record.files[f"{name}.png"].sha256 for name in JUDGED}

    @property
    def _root(self) -> Path:
        return self.folder.parent.parent


def read_trial(folder: Path, trial: str | None = None) -> Stored | Damaged:
    """The trial in a folder. Checks its record's values, that its id is made from its spec, and that its files are
    there with the recorded sizes. trial: its id, where the folder has another name."""
    trial = trial or folder.name

    def damaged(why: str) -> Damaged:
        return Damaged(trial, folder, why)

    try:
        values = read_json(folder / "trial.json")
    except OSError as error:
        return _cannot_read(trial, folder, "trial.json", error)
    except ValueError as error:
        return damaged(f"trial.json cannot be used: {first_line(error)}")
    if not isinstance(values, dict) or values.get("id") != trial:
        return damaged("trial.json is not the record of this trial")
    if values.get("schema") != SCHEMA:
        why = f"it has schema {values.get('schema')} and this version reads {SCHEMA}"
        return Damaged(trial, folder, why, OTHER_VERSION)
    try:
        record = TrialRecord.from_json(values)
    except ValueError as error:
        return damaged(f"trial.json is not a trial's record ({error})")
    if digest(values["spec"]) != trial:
        return damaged("trial.json has another spec than the one that the trial's id was made from")
    if record.best_iteration >= record.timings.images:
        return damaged(f"trial.json has best_iteration {record.best_iteration} of {record.timings.images} images")
    if strange := [judge for judge, said in record.judgements.items() if not _judges(said, record.bindings)]:
        return damaged(f"trial.json has a judgement by {strange[0]} that is not about the prompt's bindings")
    for name in FILES:
        try:
            size = os.stat(folder / name).st_size
        except FileNotFoundError as error:
            if name in record.files and is_elsewhere(folder, name):
                continue
            return _cannot_read(trial, folder, name, error)
        except OSError as error:
            return _cannot_read(trial, folder, name, error)
        if name not in record.files or size != record.files[name].bytes:
            return damaged(f"{name} has {size} bytes, which is not the recorded size")
    return Stored(folder, record)


def checked(found: Iterable[Stored | Damaged], names: Sequence[str] = FILES) -> Iterator[Stored | Damaged]:
    """The same trials in the same order; one with a file among `names` that is not what was written is Damaged."""

    def check(one: Stored | Damaged) -> Stored | Damaged:
        return one if isinstance(one, Damaged) else one.damage(names) or one

    return side_by_side(check, found)


def side_by_side(act: Callable[[Stored | Damaged], T], found: Iterable[Stored | Damaged]) -> Iterator[T]:
    """What `act`, called by several threads, makes of each trial, in the same order."""
    rest = iter(found)
    with ThreadPoolExecutor(READERS, thread_name_prefix="check") as readers:
        while some := list(itertools.islice(rest, AT_A_TIME)):  # `map` would read all of a million trials at once
            yield from readers.map(act, some)


def whole(found: Stored | Damaged) -> Stored:
    """The trial. Raises BadInput if it is damaged."""
    if isinstance(found, Damaged):
        raise BadInput(found.sentence)
    return found


def judge_folder(root: Path, judge: str, identity: dict[str, Any] | None) -> Path:
    """The folder of a judge's later judgements, one file per trial. Each identity (weights, threshold, version) has its
    own folder: judgements are added, never changed."""
    return root / "judgements" / f"{judge}-{digest(identity)[:12]}"


def _judge_folders(root: Path) -> list[Path]:
    """Raises OSError if there are judgements and they cannot be listed."""
    try:
        with os.scandir(root / "judgements") as entries:
            return [Path(entry.path) for entry in entries if is_folder(entry)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def is_folder(entry: os.DirEntry) -> bool:
    """Whether an entry is a folder or leads to one; a link that leads in a circle does not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _judges(said: JudgedTrial, bindings: Sequence[Binding]) -> bool:
    """Whether a judge speaks of these bindings, or of none."""
    asked = [(binding.attribute, binding.object) for binding in bindings]
    return [(one.attribute, one.object) for one in said.best.judgements] in (asked, [])


def _cannot_read(trial: str, place: Path, name: str, error: OSError, what: str = TRIAL) -> Damaged:
    """A file that is not there is damage. One that the system refuses to read may be whole."""
    file = name or "it"
    if isinstance(error, NotADirectoryError):
        return Damaged(trial, place, "it is a file, not a folder", what=what)
    if isinstance(error, FileNotFoundError):
        return Damaged(trial, place, f"{file} is missing", what=what)
    if isinstance(error, IsADirectoryError):
        return Damaged(trial, place, f"{file} is a folder, not a file", what=what)
    return Damaged(trial, place, f"{f'{name}: ' if name else ''}{error.strerror}", UNREADABLE, what)
