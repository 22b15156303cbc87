"""A job of three prompts, what it stored, and a listener that remembers what it was told."""

from __future__ import annotations

from reno.running.listeners import Listener
from reno.store.store import Store

PROMPTS = "prompt=[a red car,a blue cup and a pink star,a gold bench and a green clock]"


class Probe(Listener):
    """Remembers what it was told."""

    def __init__(self):
        self.heard = []

    def job_begins(self, job):
        self.heard.append("job_begins")

    def batch_begins(self, batch):
        self.heard.append("batch_begins")

    def step(self, batch, run):
        self.heard.append("step")

    def batch_ends(self, batch, run):
        self.heard.append("batch_ends")

    def trial_stored(self, stored):
        self.heard.append(("stored", stored.id))

    def trial_failed(self, trial, provenance, reason):
        self.heard.append(("failed", trial.id, reason))

    def job_ends(self, outcome):
        self.heard.append(("job_ends", outcome.status))

    def warned(self, message):
        self.heard.append(("warned", message))


def stored(tmp_path):
    return {trial.id: trial for trial in Store(tmp_path / "results")}


def without_times(trial):
    return trial.trace().drop(columns="seconds")
