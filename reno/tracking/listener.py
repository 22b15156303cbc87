"""Shows a job in Weights & Biases: a run for each trial, from its first image to its last, and one for the job where it
is part of a W&B sweep or `tracking.level=summary` asks for it (a listener)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from reno.running.listeners import Listener, RunningBatch, RunningJob
from reno.running.outcome import Outcome
from reno.running.progress import BatchRun
from reno.spec.errors import BadInput
from reno.spec.trial import TrialSpec
from reno.store.records import Provenance
from reno.store.stored import Stored
from reno.tracking import Tracker, TrackingSpec, logged, make_tracker
from reno.tracking.cards import card_of, numbers_of, record_text
from reno.tracking.jobs import TrialTable, before_and_after, card_of_job
from reno.tracking.surroundings import group_of, sweep_of

BEGUN_AGAIN = "its batch broke off and was begun again"


class Tracking(Listener):
    """Passes one job to a tracker."""

    def __init__(
        self,
        settings: TrackingSpec,
        make: Callable[[TrackingSpec, Path, Callable[[str], None]], Tracker] = make_tracker,
    ):
        self.settings, self.make = settings, make
        self.tracker: Tracker | None = None
        self.open: set[str] = set()
        """Trials whose run has started and not ended."""
        self.trials = TrialTable()
        self.own_run: str | None = None
        """The id of the job's own run; None if it has none."""

    def job_begins(self, job: RunningJob) -> None:
        self.job = job
        self.group = group_of(job.plan.job.study, job.group)
        self.tracker = self.make(self.settings, job.plan.job.results, job.warn)
        if self.settings.mode == "disabled":
            return
        sweep = sweep_of()
        if sweep or self.settings.level == "summary":
            card = card_of_job(job.plan, self.group, sweep)
            self.own_run = card.id
            self.tracker.start(card)
        for trial in job.plan.trials:
            if (stored := job.finished.get(trial.id)) is None:
                continue
            self._count(stored)
            if self.settings.level == "all" and not logged(job.plan.job.results, trial.id):
                try:
                    self._show_again(trial, stored)
                except BadInput as error:
                    job.warn(f"a stored trial is not in Weights & Biases: {error}")

    def _show_again(self, trial: TrialSpec, stored: Stored) -> None:
        """Tracks a stored trial whose process ended before its run was whole."""
        rows, frames = stored.trace().to_dict("records"), stored.frames()
        self._start(trial, stored.record.provenance)
        for row, frame in zip(rows, frames, strict=True):
            self._log(trial.id, row, frame)
        self._finish_whole(stored)

    def batch_begins(self, batch: RunningBatch) -> None:
        for trial in batch.trials:
            if trial.id in self.open:
                self._finish_failed(trial.id, BEGUN_AGAIN)

    def step(self, batch: RunningBatch, run: BatchRun) -> None:
        if run.scored or self.settings.level == "summary":
            return  # once scored, the last state repeats the last step's images
        for progress in run.trials:
            trial = progress.trial
            if trial.id not in batch.provenance or not progress.stepped:
                continue
            if trial.id not in self.open:  # only once there is an image: memory mostly runs out at the first
                self._start(trial, batch.provenance[trial.id])
            self._log(trial.id, progress.trace[-1], progress.frames[-1])

    def trial_stored(self, stored: Stored) -> None:
        self._count(stored)
        if self.settings.level == "all":
            self._finish_whole(stored)

    def trial_failed(self, trial: TrialSpec, provenance: Provenance, reason: str) -> None:
        if self.settings.level == "summary":
            return  # the job's run says how many failed
        if trial.id not in self.open:
            self._start(trial, provenance)
        self._finish_failed(trial.id, reason)

    def job_ends(self, outcome: Outcome) -> None:
        if self.tracker is None:
            return
        if self.own_run is not None:
            if len(self.trials):
                table = self.trials.grid(self.settings.images)
                self.tracker.log(self.own_run, len(self.trials), {"table": table}, None)
            self.tracker.finish(self.own_run, self._summary(outcome), _went_wrong(outcome))
        outcome.places += self.tracker.close()

    # --- The job's own run --------------------------------------------------------------------------------------------

    def _count(self, stored: Stored) -> None:
        """Adds a stored trial to the job's means, which a sweep of W&B can follow."""
        if self.own_run is not None:
            self.trials.add(stored)
            self.tracker.log(self.own_run, len(self.trials), self.trials.means(), None)

    def _summary(self, outcome: Outcome) -> dict[str, Any]:
        return {**self.trials.means(), "trials": len(self.trials), "trials_failed": len(outcome.failed)}

    # --- A trial's run ------------------------------------------------------------------------------------------------

    def _start(self, trial: TrialSpec, provenance: Provenance) -> None:
        self.open.add(trial.id)
        self.tracker.start(card_of(trial, self.job.plan, self.group, provenance))

    def _log(self, trial_id: str, row: dict[str, float], frame: np.ndarray) -> None:
        """A row of the trace. The loss stands in it a second time under the metric's name: losses of two metrics are on
        different scales and need panels of their own."""
        iteration = int(row["iteration"])
        image = frame if iteration % self.settings.images_every == 0 else None
        own_loss = {f"loss/{self.job.plan.job.metric.name}": row["loss"]} if "loss" in row else {}
        self.tracker.log(trial_id, iteration, {**row, **own_loss}, image)

    def _finish_whole(self, stored: Stored) -> None:
        self.open.discard(stored.id)
        if self.settings.images:
            self.tracker.log(stored.id, stored.record.best_iteration, before_and_after(stored), None)
        judgements = stored.judgements()
        numbers, record = numbers_of(stored.record, judgements), record_text(stored.record, judgements)
        self.tracker.finish(stored.id, numbers, record=record)

    def _finish_failed(self, trial_id: str, reason: str) -> None:
        self.open.discard(trial_id)
        self.tracker.finish(trial_id, {}, failed=reason)


def _went_wrong(outcome: Outcome) -> str | None:
    """Why the job's run did not succeed; None if it did."""
    if outcome.interrupted:
        return "interrupted"
    return f"{len(outcome.failed)} trials failed" if outcome.failed else None
