"""The batches of a job that are left, shared with other workers on the same store.

    left = Left(batches, finished, store, claims, idle=..., note=...)
    while (batch := left.next()) is not None:
        ...

A worker takes the next batch that is missing and that nobody runs. When only batches of others are left it waits: they
are stored, or their worker dies and their lease ends. Who runs a batch changes nothing in it: batches are cut from the
whole plan.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable

from reno.running.plan import Batch
from reno.spec.errors import why_not_written
from reno.spec.trial import TrialSpec
from reno.store.claims import Claims
from reno.store.leases import Leases
from reno.store.store import Store
from reno.store.stored import Stored

log = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 0.1, 2.0
"""Seconds between two looks at what the others run; each wait is twice as long as the one before."""


class Left:
    """The batches that are left. A trial that another worker has stored is added to `finished` and to `elsewhere`."""

    def __init__(
        self,
        batches: Iterable[Batch],
        finished: dict[str, Stored],
        store: Store,
        claims: Claims | Leases | None,
        *,
        idle: Callable[[], None] = lambda: None,
        note: Callable[[str], None] = log.info,
    ):
        """finished: the stored trials by id. claims: None: no other worker can be asked for. idle: called before this
        worker waits for others. note: called with lines for the user."""
        self.finished, self.store, self.claims = finished, store, claims
        self.elsewhere: list[str] = []
        self._batches, self._of_others = deque(batches), deque[Batch]()
        self._idle, self._note = idle, note

    def __len__(self) -> int:
        """Batches that are left, those that others run included."""
        return len(self._batches) + len(self._of_others)

    def again(self, *batches: Batch) -> None:
        """Puts batches before all others."""
        self._batches.extendleft(reversed(batches))

    def next(self) -> Batch | None:
        """The next batch, claimed; None if all are stored or have failed. Waits while all that are left are others'."""
        wait, told = FIRST_WAIT, 0
        while True:
            while self._batches:
                batch = self._batches.popleft()
                if not self._missing(batch):
                    continue
                if not self._claim(batch):
                    self._of_others.append(batch)
                elif self._missing(batch):  # nobody stored it just before it was claimed
                    return batch
            self._of_others = deque(batch for batch in self._of_others if self._missing(batch))
            if not self._of_others:
                return None
            self._idle()
            if len(self._of_others) != told:
                told = len(self._of_others)
                are = "1 batch is" if told == 1 else f"{told} batches are"
                self._note(f"{are} run by others; waiting for {'it' if told == 1 else 'them'}")
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)
            self._batches, self._of_others = self._of_others, deque()

    def release(self, trials: Iterable[TrialSpec]) -> None:
        """These trials are stored or have failed."""
        if self.claims is not None:
            self.claims.release([trial.id for trial in trials])

    def _claim(self, batch: Batch) -> bool:
        if self.claims is None:
            return True
        wanted = [trial.id for trial in batch if trial.id not in self.finished]
        try:
            return self.claims.take(wanted)
        except OSError as error:  # a full disk: the trials fail in their turn, or there is space again by then
            log.warning("a batch could not be claimed (%s); it is run all the same", why_not_written(error))
            return True

    def _missing(self, batch: Batch) -> bool:
        """Whether a trial of the batch is still to be run; notes those that others have stored. A claim of a trial that
        is stored is given back."""
        wanted = [trial for trial in batch if trial.id not in self.finished]
        self.store.look([trial.id for trial in wanted])
        stored = [trial for trial in wanted if isinstance(self._look(trial), Stored)]
        self.release(stored)
        return len(stored) < len(wanted)

    def _look(self, trial: TrialSpec) -> Stored | None:
        found = self.store.find(trial.id)
        if not isinstance(found, Stored):
            return None
        self.finished[trial.id] = found
        self.elsewhere.append(trial.id)
        return found
