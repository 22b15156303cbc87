"""Listeners: what the runner calls while a job runs, such as the screen, the tracker, the log or a test's probe.

A listener is a subclass of Listener that overrides the methods it needs. The runner calls them from one thread, in this
order: job_begins; for each batch: batch_begins, step for each image and once after judging, batch_ends; for each trial,
at any time after its last step: trial_stored or trial_failed; job_ends. `noted` and `warned` are called at any time. If
a listener raises, a warning is printed and the listener is not called again; the trials go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reno.letters.output import warn
from reno.running.outcome import Outcome
from reno.running.plan import Batch, Plan
from reno.spec.errors import typed_line
from reno.spec.trial import TrialSpec
from reno.store.records import Provenance
from reno.store.stored import Stored

if TYPE_CHECKING:
    from reno.running.progress import BatchRun

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunningJob:
    """A job that begins."""

    plan: Plan
    folder: Path
    """Where the job's log, record and contact sheet go."""
    group: str
    """The study or sweep."""
    command: str
    """The command as the user typed it; empty if it is not known."""
    finished: dict[str, Stored]
    """The trials that are stored, by id; the runner adds to it."""
    batches: int
    """How many batches are to run."""
    warn: Callable[[str], None]
    """Sends a warning to every listener."""


@dataclass(frozen=True)
class RunningBatch:
    """A batch that runs."""

    trials: Batch
    provenance: dict[str, Provenance]
    """Of the trials that are still to be stored, by id. The other trials of the batch are stored already; they run
    again only because kernels round differently in a smaller batch."""
    number: int
    """Which batch of the job it is, from 1."""
    of: int
    """How many batches there are, as far as is known."""


class Listener:
    """The base class of listeners. Its methods do nothing; a subclass overrides those it needs."""

    def job_begins(self, job: RunningJob) -> None:
        """The trials are about to run. Also called if all of them are stored already."""

    def batch_begins(self, batch: RunningBatch) -> None:
        """A batch is about to run. A batch that ran out of memory begins again, in smaller batches."""

    def step(self, batch: RunningBatch, run: BatchRun) -> None:
        """Another image of each trial was made and scored; or, if `run.scored`, the recorded metrics and the judges are
        done. A trial that has stopped early gets no more images, and its `stepped` is false."""

    def batch_ends(self, batch: RunningBatch, run: BatchRun | None) -> None:
        """A batch is done; run: None if it failed."""

    def trial_stored(self, stored: Stored) -> None:
        """A trial is on disk."""

    def trial_failed(self, trial: TrialSpec, provenance: Provenance, reason: str) -> None:
        """A trial failed and is not stored."""

    def job_ends(self, outcome: Outcome) -> None:
        """No more trials will run. Called after every job_begins, also after an error or an interruption."""

    def noted(self, message: str) -> None:
        """A line for the user about a choice of the runner, such as the batch size."""

    def warned(self, message: str) -> None:
        """Something went wrong that does not stop the job."""


class Listeners:
    """Calls several listeners, and drops one that raises."""

    def __init__(self, listeners: Sequence[Listener]):
        self._listeners = list(listeners)

    def tell(self, event: str, *what: object) -> None:
        """Calls the method `event` of each listener with `what`; at the job's end in reverse order, so that the log,
        which begins first, hears what happens to the others."""
        in_order = list(self._listeners)
        for listener in in_order[::-1] if event == "job_ends" else in_order:
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
            warn(f"warning: {sentence}")
