"""One daemon thread that makes calls one after the other, and is given up for good at the first that fails or hangs.

`submit` never waits for a call; it waits only for room in the queue, at most `timeout` seconds. The next `submit` or
`drain` notices a hang. Python cannot stop a call that hangs: its thread is left running.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from reno.spec.errors import typed_line

LENGTH = 256  # calls that may wait: 200 MB if each holds an image of 512 x 512
POLL = 0.02  # seconds between two looks at a thread we wait for


class Refused(Exception):
    """A call failed in another process; the text says why."""


class Background:
    """Calls made one after the other on a daemon thread. `failure`: why it was given up; None until then."""

    def __init__(self, name: str, timeout: float, length: int = LENGTH) -> None:
        self.timeout = timeout  # seconds that one step of a call may take
        self.failure: str | None = None
        self.hung = False  # given up during a call, which may never return
        self._calls: queue.Queue[Callable[[], None] | None] = queue.Queue(length)
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._step = ("", 0.0)  # what the thread is doing, since when; "" while it waits for a call

    @property
    def started(self) -> bool:
        return self._thread.ident is not None

    def submit(self, call: Callable[[], None]) -> None:
        """Queue `call`. Does nothing once the thread is given up."""
        if not self.started:
            self._thread.start()
        deadline = time.monotonic() + self.timeout
        while self._healthy():
            try:
                return self._calls.put(call, timeout=POLL)
            except queue.Full:
                if time.monotonic() > deadline:
                    self.hung = True
                    busy = self._step[0] or "the tracking thread"
                    self._give_up(f"{busy} let {self._calls.maxsize} calls wait for {self.timeout:g} s")

    def drain(self, limit: float) -> None:
        """Wait until the queued calls are made, then end the thread; give it up after `limit` seconds."""
        deadline = time.monotonic() + limit
        self.submit(None)  # type: ignore[arg-type]
        while self._thread.is_alive() and self._healthy():
            self._thread.join(POLL)
            if time.monotonic() > deadline:
                self._give_up(f"what was left to do took over {limit:g} s")

    def step(self, name: str) -> None:
        """Called by a running call: name its next step, which gets `timeout` seconds of its own."""
        self._step = (name, time.monotonic())

    def _healthy(self) -> bool:
        name, since = self._step
        if self.failure is None and name and time.monotonic() - since > self.timeout:
            self.hung = True
            self._give_up(f"{name} gave no answer in {self.timeout:g} s")
        return self.failure is None

    def _give_up(self, why: str) -> None:
        if self.failure is None:
            self.failure = why
        while True:  # free the queued images
            try:
                self._calls.get_nowait()
            except queue.Empty:
                return

    def _work(self) -> None:
        while self.failure is None:
            try:
                call = self._calls.get(timeout=1)  # wake every second, to end once given up
            except queue.Empty:
                continue
            if call is None:
                return
            try:
                self.step("a call")
                call()
            except BaseException as error:  # also a SystemExit that the library raises
                said = str(error) if isinstance(error, Refused) else typed_line(error)
                self._give_up(f"{self._step[0] or 'a call'} failed: {said}")
            finally:
                self._step = ("", 0.0)
