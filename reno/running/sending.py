"""The listener that sends a job's record and files to a store elsewhere, and says what could not be sent."""

from __future__ import annotations

from reno.letters.output import warn
from reno.running.listeners import Listener, RunningJob
from reno.running.outcome import Outcome
from reno.store.store import Store
from reno.store.stored import Stored


class Sending(Listener):
    """The first of the listeners, so that at the job's end it hears last, when the others have written their files. It
    does nothing for a store on a disk."""

    def __init__(self, store: Store):
        self.copy = store.copy
        self._told = False
        self._job: RunningJob | None = None

    def job_begins(self, job: RunningJob) -> None:
        self._job = job
        if self.copy is not None and (job.folder / "job.json").exists():
            self.copy.send_folder(job.folder)

    def trial_stored(self, stored: Stored) -> None:
        if self.copy is not None and self.copy.failure and not self._told:
            self._told = True
            why = f"{self.copy.remote.address} does not take a trial ({self.copy.failure})"
            self._job.warn(f"{why}: what is not sent is kept here and sent at the end")

    def job_ends(self, outcome: Outcome) -> None:
        if self.copy is None:
            return
        self.copy.send_folder(self._job.folder)
        for sentence in self.copy.send():
            warn(f"warning: {sentence}")
