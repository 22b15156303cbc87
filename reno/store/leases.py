"""Which worker runs which trial of a store elsewhere: the leases of `claims.py`, as objects.

claims/<trial>.<n>      a lease, made by a conditional write (S3: `If-None-Match: *`; Google Cloud Storage:
                        `ifGenerationMatch=0`), which succeeds for exactly one caller; it holds the worker's name
claims/<worker>         the worker's heartbeat: it writes this object again and again, and so renews all its leases

An ended lease stays; who takes it over makes the next one, n + 1, and again only one caller can. The holder of the
highest one has the trial. Ages are differences of the times that the store itself gives to heartbeats, never of the
clocks of machines. As on a disk, a claim saves work and protects nothing.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from reno.store.claims import CLAIMS, LEASE_SECONDS, Worker
from reno.store.heartbeat import BEAT_SECONDS, Heartbeat
from reno.store.remote import SIDE_BY_SIDE, Remote
from reno.store.staging import HALF_WRITTEN_SECONDS, own_name, writer_is_dead

MOST = 100
"""Workers in a row that may die while they hold one trial."""
_LEASE = re.compile(rf"{CLAIMS}/([0-9a-f]{{64}})\.(\d+)")


class Leases:
    """The leases of this worker on the trials of one store, from `with` to its end. Used as `Claims` is."""

    def __init__(self, remote: Remote, device: str = "", *, beat: float = BEAT_SECONDS, lease: float = LEASE_SECONDS):
        """device: what the worker runs on, for who looks. beat, lease: seconds."""
        self.remote, self.name, self.device = remote, own_name(), device
        self._lease_seconds = lease
        self._held: dict[str, int] = {}
        """The number of each trial's lease."""
        self._heart = Heartbeat(self._write, beat)

    def __enter__(self) -> Self:
        """Begins to beat, and removes heartbeats that are a day old. Raises OSError if nothing can be written there."""
        self.beat()
        self._clear()
        self._heart.begin()
        return self

    def __exit__(self, *_: object) -> None:
        """Gives all leases back."""
        self._heart.end()
        self.release(list(self._held))
        with contextlib.suppress(OSError):
            self.remote.remove([self._key(self.name)])

    def take(self, trials: Sequence[str]) -> bool:
        """Claims these trials, all or none. Returns whether this worker holds them now. Raises OSError."""
        wanted = [trial for trial in trials if trial not in self._held]
        if not wanted:
            return True
        # Who gets the first trial of a batch mostly gets the others too: only one of several workers asks for them.
        with ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="lease") as requests:
            try:
                if self._take(wanted[0]) and all(list(requests.map(self._take, wanted[1:]))):
                    return True
            except OSError:
                self.release(wanted)
                raise
        self.release(wanted)
        return False

    def release(self, trials: Collection[str]) -> None:
        """Gives leases back, and removes those before them, which have ended. The own one goes last: until then nobody
        can make it anew beside one below it."""
        with contextlib.suppress(OSError):
            held = {trial: self._held.pop(trial) for trial in trials if trial in self._held}
            self.remote.remove([self._key(trial, n) for trial, number in held.items() for n in range(number)])
            self.remote.remove([self._key(trial, number) for trial, number in held.items()])

    def beat(self) -> None:
        """Renews this worker's leases. Raises OSError."""
        self._heart.beat()

    def _write(self) -> float:
        """Writes the heartbeat. Returns the store's time."""
        key = self._key(self.name)
        self.remote.write(key, self.device.encode() or b"\n")
        return self.remote.written(key) or 0.0

    def _take(self, trial: str) -> bool:
        for number in range(MOST):
            key = self._key(trial, number)
            if self.remote.create(key, self.name.encode()):
                self._held[trial] = number
                return True
            found = self.remote.read([key])
            if not found:  # given back just now: the next look finds it free
                return False
            holder = found[key].decode("utf-8", "replace")
            if holder == self.name:  # the answer to the request that made it was lost
                self._held[trial] = number
                return True
            if not self._has_ended(holder):
                return False
        return False

    def _has_ended(self, worker: str) -> bool:
        """Whether a worker's leases have ended. Raises OSError."""
        if writer_is_dead(worker):
            return True
        try:
            return self._heart.now() - (self.remote.written(self._key(worker)) or 0.0) > self._lease_seconds
        except FileNotFoundError:  # it removed its heartbeat, so it has ended
            return True

    def _clear(self) -> None:
        """Removes what is a day old: heartbeats, which their workers would have renewed, and then their leases."""
        with contextlib.suppress(OSError):
            found, now = self.remote.listed(CLAIMS), self._heart.now()
            old = [key for key, entry in found.items() if now - (entry.written or now) > HALF_WRITTEN_SECONDS]
            leases = self.remote.read([key for key in old if _LEASE.fullmatch(key)])
            living = found.keys() - old
            names = {key: name.decode("utf-8", "replace") for key, name in leases.items()}
            old = [key for key in old if key not in names or self._key(names[key]) not in living]
            highest = _highest(found.keys() - old)
            self.remote.remove([key for key in old if not _is_below(key, highest)])

    @staticmethod
    def _key(name: str, number: int | None = None) -> str:
        return f"{CLAIMS}/{name}" if number is None else f"{CLAIMS}/{name}.{number}"


def running_there(remote: Remote, lease: float = LEASE_SECONDS) -> dict[str, Worker]:
    """The worker that runs each trial that is claimed now, by trial; the store's time is taken to be that of the newest
    heartbeat. Raises OSError."""
    found = remote.listed(CLAIMS)
    leases = _highest(found)
    beats = {key: entry.written or 0.0 for key, entry in found.items() if not _LEASE.fullmatch(key)}
    now = max(beats.values(), default=0.0)
    young = [key for key, written in beats.items() if now - written <= lease]
    devices = remote.read([key for key in young if not writer_is_dead(key.removeprefix(f"{CLAIMS}/"))])
    keys = {f"{CLAIMS}/{trial}.{number}": trial for trial, number in leases.items()}
    names = {keys[key]: data.decode("utf-8", "replace") for key, data in remote.read(list(keys)).items()}
    return {
        trial: Worker(name, devices[f"{CLAIMS}/{name}"].decode("utf-8", "replace").strip())
        for trial, name in names.items()
        if f"{CLAIMS}/{name}" in devices
    }


def _highest(keys: Iterable[str]) -> dict[str, int]:
    """The number of each trial's highest lease."""
    highest: dict[str, int] = {}
    for match in filter(None, map(_LEASE.fullmatch, keys)):
        highest[match[1]] = max(int(match[2]), highest.get(match[1], 0))
    return highest


def _is_below(key: str, highest: Mapping[str, int]) -> bool:
    """Whether a key is that of a lease below another one of its trial."""
    match = _LEASE.fullmatch(key)
    return match is not None and int(match[2]) < highest.get(match[1], 0)
