"""Shows a job's trials in Weights & Biases: a run for each trial, from its first image to its last (a listener)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from reno.running.batch import BatchRun
from reno.running.listeners import Listener, RunningBatch, RunningJob
from reno.running.outcome import Outcome
from reno.spec.errors import BadInput
from reno.spec.trial import TrialSpec
from reno.store.records import Provenance
from reno.store.stored import Stored
from reno.tracking import Tracker, TrackingSpec, logged, make_tracker
from reno.tracking.cards import card_of, summary_values

BEGUN_AGAIN = "out of memory; begun again in a smaller batch"


class Tracking(Listener):
    """Passes one job's trials to a tracker."""

    def __init__(
        self,
        settings: TrackingSpec,
        make: Callable[[TrackingSpec, Path, Callable[[str], None]], Tracker] = make_tracker,
    ):
        self.settings, self.make = settings, make
        self.tracker: Tracker | None = None
        self.open: set[str] = set()
        """Trials whose run has started and not ended."""

    def job_begins(self, job: RunningJob) -> None:
        self.job = job
        self.tracker = self.make(self.settings, job.plan.job.results, job.warn)
        if self.settings.mode == "disabled":
            return
        for trial in job.plan.trials:
            stored = job.finished.get(trial.id)
            if stored is not None and not logged(job.plan.job.results, trial.id):
                try:
                    self._show_again(trial, stored)
                except BadInput as error:
                    job.warn(f"a stored trial is not in Weights & Biases: {error}")

    def _show_again(self, trial: TrialSpec, stored: Stored) -> None:
        """Tracks a stored trial whose process ended before its run was whole."""
        rows, frames = stored.trace().to_dict("records"), stored.frames()
        self._start(trial, stored.record.provenance)
        for row, frame in zip(rows, frames, strict=True):
            self.tracker.log(trial.id, int(row["iteration"]), row, frame)
        self.trial_stored(stored)

    def batch_begins(self, batch: RunningBatch) -> None:
        for trial in batch.trials:
            if trial.id in self.open:
                self._finish(trial.id, failed=BEGUN_AGAIN)

    def step(self, batch: RunningBatch, run: BatchRun) -> None:
        if run.scored:
            return  # the last state repeats the last step's images
        for progress in run.trials:
            trial = progress.trial
            if trial.id not in batch.provenance or not progress.stepped:
                continue
            if trial.id not in self.open:  # only once there is an image: memory mostly runs out at the first
                self._start(trial, batch.provenance[trial.id])
            row = progress.trace[-1]
            self.tracker.log(trial.id, row["iteration"], row, progress.frames[-1])

    def trial_stored(self, stored: Stored) -> None:
        self.open.discard(stored.id)
        self.tracker.finish(stored.id, summary_values(stored.record))

    def trial_failed(self, trial: TrialSpec, provenance: Provenance, reason: str) -> None:
        if trial.id not in self.open:
            self._start(trial, provenance)
        self._finish(trial.id, failed=reason)

    def job_ends(self, outcome: Outcome) -> None:
        if self.tracker is not None:
            outcome.places += self.tracker.close()

    def _start(self, trial: TrialSpec, provenance: Provenance) -> None:
        self.open.add(trial.id)
        self.tracker.start(card_of(trial, self.job.plan, self.job.group, provenance))

    def _finish(self, trial_id: str, failed: str) -> None:
        self.open.discard(trial_id)
        self.tracker.finish(trial_id, {}, failed=failed)
