"""A worker's heartbeat, which renews all its leases, and the time by the clock of the place where it is written."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

BEAT_SECONDS = 20.0
"""Time between two heartbeats."""


class Heartbeat:
    """Writes again and again, in a thread of its own, from `begin` to `end`."""

    def __init__(self, write: Callable[[], float], seconds: float):
        """write: writes the heartbeat and returns that place's time, in seconds; it may raise OSError. seconds: between
        two beats."""
        self._write, self._seconds = write, seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="heartbeat", daemon=True)
        self.clock = (0.0, 0.0)
        """The place's time at the last beat, and the monotonic clock's."""

    def beat(self) -> None:
        """Raises OSError."""
        self.clock = (self._write(), time.monotonic())

    def now(self) -> float:
        """The time of the place: between two beats a monotonic clock counts on."""
        there, own = self.clock
        return there + (time.monotonic() - own)

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        self._thread.join()

    def _go_on(self) -> None:
        while not self._stop.wait(self._seconds):
            with contextlib.suppress(OSError):  # the server is away: the next beat may reach it
                self.beat()
