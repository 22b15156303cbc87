"""Which worker runs which trial: workers on one store claim a batch's trials before they run them.

    with Claims(root, "NVIDIA H100") as claims:
        if claims.take(ids):        # all of them, or none
            ...                     # run and store them
            claims.release(ids)

results/claims/<trial>      a lease: a file that exactly one worker can make, holding the worker's name
results/claims/<worker>     the worker's heartbeat: it writes this file again and again, and so renews all its leases

A lease ends when its worker's process has ended, if that can be known (a process of this machine), or when the
heartbeat is older than LEASE_SECONDS. Ages are differences of modification times that the file server wrote, so the
clocks of the machines may differ by days; between two heartbeats a monotonic clock counts on.

Every operation holds on NFS (version 3 or later) as on a local disk:

- `open` with O_CREAT | O_EXCL makes a file for exactly one caller; the server decides.
- `write` and `fstat` of the same open file: the client writes first and then asks the server for the time.
- `open` to read: the client asks the server whether what it knows is still true (close-to-open consistency), so an old
  heartbeat is not taken from a cache.
- `rename` and `unlink` are single steps on the server. A lease that has ended is renamed to a name that nobody else
  uses before it is removed. If it was another one than was judged, because a third worker was quicker, it is put back.

A claim saves work and protects nothing: the store keeps the first of two results (`Store.commit`). If a lease ends too
early, because a machine slept or lost the network, a batch is run twice and no result changes.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from reno.store.heartbeat import BEAT_SECONDS, Heartbeat
from reno.store.staging import HALF_WRITTEN_SECONDS, PART, machine_of, own_name, writer_is_dead

CLAIMS = "claims"
"""The folder's name in the store."""
LEASE_SECONDS = 180.0
"""Age of a heartbeat from which a worker of another machine is taken to be dead. An NFS client may keep what it writes
for some seconds, and a busy server may answer late."""
_TRIAL = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Worker:
    """A worker that holds leases."""

    name: str
    device: str
    """What it runs on, in words."""

    @property
    def machine(self) -> str:
        """The name of its machine."""
        return machine_of(self.name)


class Claims:
    """The leases of this worker on the trials of one store, from `with` to its end."""

    def __init__(self, root: Path, device: str = "", *, beat: float = BEAT_SECONDS, lease: float = LEASE_SECONDS):
        """device: what the worker runs on, for who looks. beat, lease: seconds."""
        self.folder, self.name, self.device = root / CLAIMS, own_name(), device
        self._lease_seconds = lease
        self._held: set[str] = set()
        self._heart = Heartbeat(lambda: _write(self.folder / self.name, self.device), beat)

    def __enter__(self) -> Self:
        """Begins to beat, and removes what dead workers left. Raises OSError if the folder cannot be written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.beat()
        self._clear()
        self._heart.begin()
        return self

    def __exit__(self, *_: object) -> None:
        """Gives all leases back, and removes what others left who died meanwhile."""
        self._heart.end()
        self.release(list(self._held))
        self._clear()
        with contextlib.suppress(OSError):
            (self.folder / self.name).unlink()

    def take(self, trials: Sequence[str]) -> bool:
        """Claims these trials, all or none. Returns whether this worker holds them now. Raises OSError if a lease
        cannot be written, such as on a full disk."""
        taken: list[str] = []
        try:
            for trial in trials:
                if trial in self._held:
                    continue
                if not self._take(trial):
                    break
                taken.append(trial)
            else:
                return True
        except OSError:
            self.release(taken)
            raise
        self.release(taken)
        return False

    def release(self, trials: Collection[str]) -> None:
        """Gives leases back. One that has ended and that another worker holds now is left to it."""
        for trial in trials:
            self._held.discard(trial)
            place = self.folder / trial
            with contextlib.suppress(OSError):
                if _read(place) == self.name:
                    place.unlink()

    def beat(self) -> None:
        """Renews this worker's leases. Raises OSError."""
        self._heart.beat()

    def _take(self, trial: str) -> bool:
        place = self.folder / trial
        for _ in range(2):
            try:
                handle = os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
            except FileExistsError:
                if not self._remove_ended(place):
                    return False
                continue
            try:
                os.write(handle, self.name.encode())
            except OSError:
                place.unlink(missing_ok=True)
                raise
            finally:
                os.close(handle)
            self._held.add(trial)
            return True
        return False  # a third worker was quicker

    # --- Leases of others ---------------------------------------------------------------------------------------------

    def _clear(self) -> None:
        """Removes leases that have ended, and what dead workers left besides: of this machine at once, of another one
        when it is a day old."""
        now = self._heart.now()
        for entry in _entries(self.folder):
            with contextlib.suppress(OSError):
                if _TRIAL.fullmatch(entry.name):
                    self._remove_ended(Path(entry.path))
                elif writer_is_dead(entry.name) or now - entry.stat().st_mtime > HALF_WRITTEN_SECONDS:
                    os.unlink(entry.path)

    def _remove_ended(self, place: Path) -> bool:
        """Removes a lease if it has ended. Returns whether its place is free now, as far as is known."""
        try:
            name = _read(place)
            if not _has_ended(place, name, self._heart.now(), self._lease_seconds):
                return False
            aside = place.with_name(f".{place.name}~{own_name()}{PART}")
            place.rename(aside)
        except FileNotFoundError:
            return True
        try:
            if _read(aside) == name:
                return True
            with contextlib.suppress(OSError):
                os.link(aside, place)
            return False
        finally:
            aside.unlink(missing_ok=True)


def running(root: Path, lease: float = LEASE_SECONDS) -> dict[str, Worker]:
    """The worker that runs each trial that is claimed now, by trial. Writes nothing: the file server's time is taken to
    be that of the newest heartbeat, so that, where all workers of other machines are dead, the last one is still seen
    as living."""
    entries = {entry.name: Path(entry.path) for entry in _entries(root / CLAIMS)}
    beats = {}
    for name in entries:
        if not _TRIAL.fullmatch(name) and writer_is_dead(name) is not True and not name.endswith(PART):
            with contextlib.suppress(OSError):
                beats[name] = _written(entries[name])
    now = max(beats.values(), default=0.0)
    found = {}
    for trial in filter(_TRIAL.fullmatch, entries):
        with contextlib.suppress(OSError):
            name = _read(entries[trial])
            if now - beats.get(name, 0.0) <= lease and name in beats:
                found[trial] = Worker(name, _read(entries[name]))
    return found


def _has_ended(place: Path, name: str, now: float, lease: float) -> bool:
    """Whether the lease of this worker has ended. Raises OSError."""
    if writer_is_dead(name):
        return True
    try:
        # A worker that died, or was slow, between making its lease and writing its name: the lease's own age counts.
        renewed = _written(place.with_name(name) if name else place)
    except FileNotFoundError:  # it removed its heartbeat, so it has ended
        return True
    return now - renewed > lease


def _write(place: Path, text: str) -> float:
    """Writes a heartbeat over the one before. Returns the file server's time."""
    handle = os.open(place, os.O_CREAT | os.O_WRONLY, 0o666)
    try:
        os.write(handle, text.encode() or b"\n")
        return os.fstat(handle).st_mtime
    finally:
        os.close(handle)


def _written(place: Path) -> float:
    """When a file was written, as the file server says; opened, so that a client does not answer from its cache."""
    handle = os.open(place, os.O_RDONLY)
    try:
        return os.fstat(handle).st_mtime
    finally:
        os.close(handle)


def _read(place: Path) -> str:
    return place.read_text(encoding="utf-8", errors="replace").strip()


def _entries(folder: Path) -> Iterator[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            yield from list(entries)
    except OSError:
        return
