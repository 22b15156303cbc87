"""The copy that this machine keeps of a store elsewhere: a store like any other, in which commands read and write.

    copy = copy_of(root)                  # None for a store that is on a disk
    copy.catch_up(trials)                 # one listing; fetches the records of trials that this machine lacks
    copy.send_trial(trial)                # trial.json last: a trial is whole when its trial.json is there
    copy.send()                           # what could not be sent before

The layout there is that of a folder. Records are fetched at once, and a trial's other files when they are read. A file
that was fetched has the time that the object was written as its own, so that a changed object is noticed. What is here
and not there waits to be sent: after a failure, or after a crash, the next command on the store sends it.

An object appears whole or not at all, in every kind of store that is known here. A listing may be behind in a store
that is only eventually consistent; then a trial that is there counts as missing, and may be run twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from reno.letters.output import warn
from reno.spec.addresses import LONGEST_NAME, address_of
from reno.spec.errors import why_not_written
from reno.store.files import FILES
from reno.store.remote import SIDE_BY_SIDE, Entry, Remote
from reno.store.staging import PART, own_name

RECORD = "trial.json"
HEX = "0123456789abcdef"
_ID = re.compile(r"[0-9a-f]{64}")
_BITS = {name: 1 << place for place, name in enumerate((*FILES, RECORD))}
_WHOLE = sum(_BITS.values())
TOGETHER = {"json": 256, "parquet": 256}
"""Objects that are read in one call, by suffix; of the larger others 16."""
COMMIT_SECONDS, COMMIT_FILES = 600.0, 500
"""Time between two commits to the hub, which takes some hundred an hour, and the trials or files of one commit."""
TELL_SECONDS = 5.0
"""Time between two lines about how far a long fetch is."""


class Copy:
    """The copy of one store."""

    def __init__(self, root: Path, address: str):
        """Raises BadInput if the package for this kind of store is missing."""
        self.root, self.remote = root, Remote(address)
        self.waiting: dict[str, str] = {}
        """What is here and not there, by its key, and why: trials by the key of their record, and other files."""
        self.lacking: dict[str, frozenset[str]] = {}
        """Files that trials lack there, as the last listing said."""
        self.failure = ""
        """Why the last thing that was to be sent was not; empty if it was."""
        self._sent = time.monotonic()
        """When the last commit to the hub was made."""
        self._told: set[str] = set()
        """Folders of which was told that they hold objects that cannot be files."""

    # --- From there to here -------------------------------------------------------------------------------------------

    def catch_up(self, trials: Collection[str] | None = None, files: Collection[str] = (), jobs: bool = True) -> None:
        """Fetches the records of trials, and the later judgements of them, that are new or have changed.

        trials: None for all. files: those of FILES that are fetched as well. jobs: whether the records of jobs are too;
        with all of FILES, also the other files of jobs. Raises OSError."""
        began = time.time()
        there, unlike = self._list_trials()
        self._compare_trials(there, began)
        wanted = list(there) if trials is None else [trial for trial in trials if trial in there]
        records = [(f"trials/{trial}/{RECORD}", there[trial]) for trial in wanted]
        self._fetch([one for one in records if not self._is_here(*one)])
        self._send_again(there, unlike)
        beside = [f"trials/{trial}/{name}" for trial in wanted for name in files if self.has(trial, name)]
        self._fetch([(key, None) for key in beside if not os.path.exists(self.root / key)])
        asked = None if trials is None else set(trials)
        self._catch_up_with(
            "judgements", lambda key: asked is None or key.rpartition("/")[2].removesuffix(".json") in asked
        )
        if jobs:
            everything = set(files) >= set(FILES)
            self._catch_up_with("jobs", lambda key: everything or key.endswith("/job.json"))

    def _list_trials(self) -> tuple[dict[str, Entry], list[tuple[str, str]]]:
        """The records of the trials that are there; notes which of these lack files. And the trials and names of files
        that are missing there or have another size than here."""
        records: dict[str, Entry] = {}
        found: dict[str, int] = {}
        unlike: list[tuple[str, str]] = []
        for key, entry in self.remote.each("trials", HEX):
            trial, _, name = key.removeprefix("trials/").partition("/")
            if name in _BITS and _ID.fullmatch(trial):
                found[trial] = found.get(trial, 0) | _BITS[name]
                if name == RECORD:
                    records[trial] = entry
                elif self._has_other_size(key, entry.size):
                    unlike.append((trial, name))
        self.lacking = {
            trial: frozenset(name for name, bit in _BITS.items() if not found[trial] & bit)
            for trial in records
            if found[trial] != _WHOLE
        }
        return records, unlike + [(trial, name) for trial, names in self.lacking.items() for name in names]

    def _has_other_size(self, key: str, size: int) -> bool:
        try:
            return os.stat(f"{self.root}/{key}").st_size != size
        except OSError:
            return False

    def _send_again(self, there: dict[str, Entry], unlike: Iterable[tuple[str, str]]) -> None:
        """Notes that files of trials are to be sent again: those that are here as the record, which is there too, says.
        Tells how many."""
        before = len(self.waiting)
        for trial, name in unlike:
            record = f"trials/{trial}/{RECORD}"
            if trial in there and self._is_here(record, there[trial]) and self._is_as_recorded(trial, name):
                self.waiting.setdefault(f"trials/{trial}/{name}", "it is missing or damaged there")
        if found := len(self.waiting) - before:
            what = f"{found} files of trials are missing there or have a wrong size"
            warn(f"warning: {self.remote.address}: {what}; this machine has them, and reno.run sends them again")

    def _is_as_recorded(self, trial: str, name: str) -> bool:
        folder = self.root / "trials" / trial
        try:
            recorded = json.loads((folder / RECORD).read_bytes())["files"][name]["sha256"]
            return hashlib.sha256((folder / name).read_bytes()).hexdigest() == recorded
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _compare_trials(self, there: Collection[str], began: float) -> None:
        """Notes whole trials that are only here. Removes the records of trials that are no longer there."""
        for folder in _folders(self.root / "trials"):
            if folder.name in there:
                continue
            if all(os.path.exists(folder / name) for name in _BITS):
                self.waiting.setdefault(f"trials/{folder.name}/{RECORD}", "it is not there yet")
            elif folder.stat().st_mtime < began - 60:  # not one that another process of this machine has just fetched
                with contextlib.suppress(OSError):
                    for name in _BITS:
                        (folder / name).unlink(missing_ok=True)
                    folder.rmdir()

    def _catch_up_with(self, folder: str, wanted: Callable[[str], bool]) -> None:
        """Fetches records below a folder, and notes those that are only here."""
        found = {key: entry for key, entry in self.remote.each(folder) if wanted(key)}
        there = {key: entry for key, entry in found.items() if _is_plain(key)}
        if (strange := len(found) - len(there)) and folder not in self._told:
            self._told.add(folder)
            what = f"{strange} objects in {folder}/ have names that no file can have"
            warn(f"warning: {self.remote.address}: {what}, and are left out")
        self._fetch([one for one in there.items() if not self._is_here(*one) and not self._is_last(one[0])])
        for place in (self.root / folder).rglob("*.json"):
            key = place.relative_to(self.root).as_posix()
            changed = key in there and self._is_last(key) and not self._is_here(key, there[key])
            if wanted(key) and (changed or key not in there) and not place.name.startswith("."):
                self.waiting.setdefault(key, "it is not there yet")

    def _is_here(self, key: str, entry: Entry) -> bool:
        try:
            here = os.stat(self.root / key)
        except OSError:
            return False
        return here.st_size == entry.size and (entry.written is None or abs(here.st_mtime - entry.written) < 1e-5)

    def _is_last(self, key: str) -> bool:
        """Whether a job's record says that the job has ended: it does not change any more."""
        if not key.startswith("jobs/"):
            return False
        try:
            return json.loads((self.root / key).read_bytes())["status"] is not None
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def look(self, trials: Iterable[str]) -> None:
        """Fetches the records of these trials that are there by now and not here. Raises OSError."""
        keys = [f"trials/{trial}/{RECORD}" for trial in trials]
        for key, data in self.remote.read([key for key in keys if not os.path.exists(self.root / key)]).items():
            self._write(key, data, None)

    def fetch(self, place: Path) -> bytes:
        """The contents of one file of the store, which is kept. Raises OSError."""
        key = place.relative_to(self.root).as_posix()
        found = self.remote.read([key])
        if key not in found:
            raise FileNotFoundError(2, "it is neither here nor there", str(place))
        self._write(key, found[key], None)
        return found[key]

    def _fetch(self, wanted: list[tuple[str, Entry | None]]) -> None:
        told, done = time.monotonic(), 0
        for chunk in _chunks(wanted):
            found = self.remote.read([key for key, _ in chunk])
            for key, entry in chunk:
                if key in found:
                    self._write(key, found[key], entry)
            done += len(chunk)
            if time.monotonic() - told > TELL_SECONDS and done < len(wanted):
                told = time.monotonic()
                warn(f"{self.remote.address}: {done} of {len(wanted)} files fetched")

    def _write(self, key: str, data: bytes, entry: Entry | None) -> None:
        """Writes a file of the copy, whole or not at all. It need not survive a crash of the machine."""
        place = self.root / key
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.name == RECORD and place.exists() and place.read_bytes() != data:
            for name in FILES:  # those of the record that was here before
                (place.parent / name).unlink(missing_ok=True)
        part = place.with_name(f".~{own_name()}{PART}")  # without the file's name, which may be as long as can be
        try:
            part.write_bytes(data)
            if entry is not None and entry.written is not None:
                os.utime(part, (entry.written, entry.written))
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)

    def has(self, trial: str, name: str) -> bool:
        """Whether a file of a trial, which is not here, is there, as far as the last listing said."""
        return name not in self.lacking.get(trial, ())

    # --- From here to there -------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raises OSError if nothing can be written there."""
        if self.remote.together:  # a commit to find it out would stay in the history
            return
        key = f"staging/{own_name()}"
        self.remote.write(key, b"")
        self.remote.remove([key])

    def deliver(self, key: str) -> None:
        """Sends a trial, by the key of its record, or another file. What cannot be sent waits, and so does what goes to
        the hub, until ten minutes have passed since the last commit."""
        if self.remote.together:
            self.waiting[key] = "it is not sent yet"
            self.send(at_once=False)
            return
        try:
            if _is_record(key):
                self.send_trial(key.split("/")[1])
            else:
                self._send_file(key)
        except OSError as error:
            self.waiting[key] = self.failure = why_not_written(error)
        else:
            self.failure = ""
            self.waiting.pop(key, None)

    def send(self, at_once: bool = True) -> list[str]:
        """Sends what waits. Returns a sentence if some of it cannot be sent. at_once: False: to the hub only if ten
        minutes have passed since the last commit."""
        if self.remote.together:
            if at_once or time.monotonic() - self._sent > COMMIT_SECONDS:
                self._send_together()
            return self.not_sent()
        keys = sorted(self.waiting)
        with ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="send") as requests:
            list(requests.map(self.deliver, keys))
        return self.not_sent()

    def _send_together(self) -> None:
        """Sends what waits in commits of whole trials. What cannot be sent goes on waiting."""
        self._sent = time.monotonic()
        keys = sorted(self.waiting)
        for start in range(0, len(keys), COMMIT_FILES):
            chunk = keys[start : start + COMMIT_FILES]
            files = {name: self.root / name for key in chunk for name in _files_of(key)}
            try:
                self.remote.write_together(files)
            except OSError as error:
                self.failure = why_not_written(error)
                self.waiting |= dict.fromkeys(chunk, self.failure)
                return
            self.failure = ""
            for key in chunk:
                self.waiting.pop(key, None)

    def not_sent(self) -> list[str]:
        """A sentence if something waits to be sent."""
        if not self.waiting:
            return []
        trials = sum(map(_is_record, self.waiting))
        what = f"{trials} trials" if trials == len(self.waiting) else f"{len(self.waiting)} files"
        why = f"{what} could not be sent to {self.remote.address} ({next(iter(self.waiting.values()))})"
        return [f"{why}: they are kept in {self.root}, and the same command sends them later"]

    def send_trial(self, trial: str) -> None:
        """Sends a whole trial, its record last. If another one is there first, that one stays. Raises OSError."""
        key = f"trials/{trial}/{RECORD}"
        data = (self.root / key).read_bytes()
        if self.remote.exists(key):
            return
        self._send_files(trial)
        if not self.remote.creates:
            self.remote.write(key, data)
        elif not self.remote.create(key, data) and not self._settle(trial, data):
            return  # the next `catch_up` fetches the other's record
        self._note_time(key)

    def _send_files(self, trial: str) -> None:
        folder = f"trials/{trial}"

        def send(name: str) -> None:
            self.remote.write(f"{folder}/{name}", (self.root / folder / name).read_bytes())

        with ThreadPoolExecutor(len(FILES), thread_name_prefix="send") as requests:
            list(requests.map(send, FILES))

    def _settle(self, trial: str, own: bytes) -> bool:
        """Two workers have sent one trial at the same time: files of this one may lie over those of the other, and
        their records differ in times. The other is done. If its files are other ones, this trial is written whole over
        it. Returns whether it was."""
        key = f"trials/{trial}/{RECORD}"
        other = self.remote.read([key]).get(key, b"")
        with contextlib.suppress(ValueError, KeyError):
            if json.loads(other)["files"] == json.loads(own)["files"]:
                return False
        self._send_files(trial)
        self.remote.write(key, own)
        return True

    def _send_file(self, key: str) -> None:
        data = (self.root / key).read_bytes()
        if key.startswith("trials/"):
            record = f"{key.rpartition('/')[0]}/{RECORD}"
            if self.remote.read([record]).get(record) != (self.root / record).read_bytes():
                return  # the trial was removed or made again meanwhile
        if key.startswith("judgements/") and self.remote.creates:
            if not self.remote.create(key, data):
                return  # the first judgement stays
        else:
            self.remote.write(key, data)
        self._note_time(key)

    def _note_time(self, key: str) -> None:
        """The file gets the time at which the object was written, and so counts as fetched."""
        with contextlib.suppress(OSError):
            written = self.remote.written(key)
            if written is not None:
                os.utime(self.root / key, (written, written))

    def send_folder(self, folder: Path) -> None:
        """Sends the files of a job's folder, its record last. What cannot be sent waits."""
        with contextlib.suppress(OSError):
            files = [file for file in folder.iterdir() if file.is_file() and not file.name.endswith(PART)]
            for file in sorted(files, key=lambda file: (file.name == "job.json", file.name)):
                self.deliver(file.relative_to(self.root).as_posix())

    def set_aside(self, trial: str, name: str) -> None:
        """Moves a damaged trial to damaged/ there, its record first, so that it counts as missing at once. name: of its
        folder in damaged/. Raises OSError."""
        found = sorted(self.remote.listed(f"trials/{trial}"), key=lambda key: not key.endswith(RECORD))
        for key in found:
            self.remote.copy(key, f"damaged/trials/{name}/{key.rpartition('/')[2]}")
            self.remote.remove([key])
        self.lacking.pop(trial, None)

    def set_judgement_aside(self, key: str) -> None:
        """Moves a judgement to damaged/ there, if it is the one that is here: another one was written meanwhile, and
        stays. On the hub the next commit writes over it, and the history keeps it. Raises OSError."""
        if not self.remote.creates:
            return
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            if self.remote.read([key]).get(key) == (self.root / key).read_bytes():
                self.remote.copy(key, f"damaged/{key}-{uuid.uuid4().hex[:8]}")
                self.remote.remove([key])


_copies: dict[Path, Copy] = {}


def copy_of(root: Path) -> Copy | None:
    """The copy in a folder; None if the folder is a store itself. Raises BadInput if the package for this kind of store
    is missing."""
    if root not in _copies:
        address = address_of(root)
        if address is None:
            return None
        _copies[root] = Copy(root, address)
    return _copies[root]


def is_elsewhere(folder: Path, name: str) -> bool:
    """Whether a file of a trial's folder, which is not here, can be fetched."""
    copy = copy_of(folder.parent.parent)
    return copy is not None and copy.has(folder.name, name)


def read_or_fetch(place: Path) -> bytes:
    """The contents of a file of a trial. Raises OSError."""
    try:
        return place.read_bytes()
    except FileNotFoundError:
        copy = copy_of(place.parent.parent.parent)
        if copy is None:
            raise
        return copy.fetch(place)


def _chunks(wanted: list[tuple[str, Entry | None]]) -> Iterator[list[tuple[str, Entry | None]]]:
    """The keys in groups of one suffix, each to be read in one call."""
    groups: dict[int, list[tuple[str, Entry | None]]] = {}
    for one in wanted:
        groups.setdefault(TOGETHER.get(one[0].rpartition(".")[2], 16), []).append(one)
    for size, group in groups.items():
        for start in range(0, len(group), size):
            yield group[start : start + size]


def _is_plain(key: str) -> bool:
    """Whether a key is the path of a file below the store: others may have written there, and a key may be any text."""
    parts = key.split("/")
    fits = all(len(os.fsencode(part)) <= LONGEST_NAME for part in parts)
    return fits and "\0" not in key and set(parts).isdisjoint({"", ".", ".."})


def _files_of(key: str) -> list[str]:
    """The keys of a trial's files, from that of its record; of another file, its own."""
    folder, _, name = key.rpartition("/")
    return [f"{folder}/{one}" for one in (*FILES, name)] if _is_record(key) else [key]


def _is_record(key: str) -> bool:
    """Whether a key is that of a trial's record, which stands for the whole trial."""
    return key.startswith("trials/") and key.endswith(RECORD)


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries if _ID.fullmatch(entry.name)]
    except OSError:
        return []
