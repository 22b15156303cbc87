"""Who hears of a job while it runs: the screen, the tracker, the log, a stopwatch, a test.

A listener is a subclass of Listener with the methods that it wants to hear of. They are called from one thread, in this
order: job_begins; for each batch batch_begins, step for each image, batch_ends; trial_stored or trial_failed once for
each trial, at any time after its batch; job_ends. `noted` and `warned` may come at any time. A listener that raises
costs a warning and is told nothing more; the trials go on.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reno.running.outcome import Outcome
from reno.running.plan import Batch, Plan
from reno.spec.errors import typed_line
from reno.spec.trial import TrialSpec
from reno.store.records import Provenance
from reno.store.store import Stored

if TYPE_CHECKING:
    from reno.running.batch import BatchRun

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunningJob:
    """What a listener is told of a job when it begins."""

    plan: Plan
    folder: Path
    """Where the job's log, record and contact sheet go."""
    group: str
    """The study or sweep."""
    finished: dict[str, Stored]
    """The trials that are stored, by id; the runner adds to it."""
    batches: int
    """How many batches are to run."""
    warn: Callable[[str], None]
    """Tells every listener of a warning."""


@dataclass(frozen=True)
class RunningBatch:
    """What a listener is told of a batch."""

    trials: Batch
    provenance: dict[str, Provenance]
    """Of the trials that are to be stored, by id. The others are stored already, and run only so that these have the
    batch-mates they had."""
    number: int
    """Which batch of the job it is, from 1."""
    of: int
    """How many batches there are, as far as is known."""


class Listener:
    """A listener that hears everything and does nothing; a subclass overrides what it wants to hear."""

    def job_begins(self, job: RunningJob) -> None:
        """Trials are about to run, or all of them are stored."""

    def batch_begins(self, batch: RunningBatch) -> None:
        """A batch is about to run. A batch that ran out of memory begins again, in smaller batches."""

    def step(self, batch: RunningBatch, run: BatchRun) -> None:
        """Another image of each trial of the batch was made and scored."""

    def batch_ends(self, batch: RunningBatch, run: BatchRun | None) -> None:
        """A batch is done; run: None if it failed."""

    def trial_stored(self, stored: Stored) -> None:
        """A trial is on disk."""

    def trial_failed(self, trial: TrialSpec, provenance: Provenance, reason: str) -> None:
        """A trial cannot be stored."""

    def job_ends(self, outcome: Outcome) -> None:
        """Nothing more will run. Called whatever happened after job_begins."""

    def noted(self, message: str) -> None:
        """The runner decided something that a person may want to know."""

    def warned(self, message: str) -> None:
        """Something went wrong that does not stop the job."""


class Listeners:
    """Several listeners, told of the same things."""

    def __init__(self, listeners: Sequence[Listener]):
        self._listeners = list(listeners)

    def tell(self, event: str, *what: object) -> None:
        """Calls the method of that name of each listener."""
        for listener in list(self._listeners):
            try:
                getattr(listener, event)(*what)
            except Exception as error:
                self._listeners.remove(listener)
                log.exception("%s failed at %s", type(listener).__name__, event)
                self._warn(f"{type(listener).__name__} stopped working ({typed_line(error)})")

    def _warn(self, message: str) -> None:
        sentence = f"{message}; the trials go on without it"
        if self._listeners:
            self.tell("warned", sentence)
        else:
            print(f"warning: {sentence}", file=sys.stderr)
