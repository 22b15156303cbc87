"""What Weights & Biases is sent of a job: its card, the means over its trials, and a table of them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from reno.letters.harmless import cell
from reno.running.plan import Plan
from reno.spec.errors import BadInput
from reno.spec.trial import digest
from reno.store.stored import Stored
from reno.tracking import RunCard
from reno.tracking.cards import numbers_of, settings_text, shared_config, tags_of
from reno.tracking.shown import Grid, Picture, caption
from reno.tracking.surroundings import Sweep

JOB = "job"
"""The job_type of a job's own run."""
MOST_PICTURED = 64
"""Trials of the table that have their images in it: the first ones."""


def card_of_job(plan: Plan, group: str, sweep: Sweep | None) -> RunCard:
    """A job's card. In a sweep of W&B its id is the one that the sweep gave, and its config has the sweep's parameters
    by the names that the sweep has for them."""
    method = plan.trials[0].method
    metric, number = plan.job.metric.name, len(plan.trials)
    return RunCard(
        id=sweep.run if sweep else digest({JOB: [trial.id for trial in plan.trials]}),
        name=f"{metric} · {settings_text(method)} · {number} trial{'s' * (number != 1)}",
        group=group,
        job_type=JOB,
        config={
            **shared_config(plan, method),
            "trials": number,
            "provenance": {},
            **(sweep.parameters if sweep else {}),
        },
        tags=tags_of(plan),
        axis="trials",
        sweep=sweep.id if sweep else None,
    )


class TrialTable:
    """The trials of a job so far: their numbers, and the mean of each number over the trials that have it."""

    def __init__(self) -> None:
        self._trials: list[tuple[Stored, dict[str, float]]] = []
        self._sums: dict[str, float] = defaultdict(float)
        self._counts: dict[str, int] = defaultdict(int)

    def __len__(self) -> int:
        return len(self._trials)

    def add(self, stored: Stored) -> None:
        numbers = numbers_of(stored.record, stored.judgements())
        self._trials.append((stored, numbers))
        for name, value in numbers.items():
            self._sums[name] += value
            self._counts[name] += 1

    def means(self) -> dict[str, float]:
        return {name: total / self._counts[name] for name, total in self._sums.items()}

    def grid(self, images: bool) -> Grid:
        """A row for each trial. images: with the first and the best image of the first MOST_PICTURED trials."""
        names = sorted(self._sums)
        pictured = ["before", "after"] if images else []
        rows: list[list[Any]] = []
        for number, (stored, numbers) in enumerate(self._trials):
            spec = stored.record.spec
            row = [stored.id[:12], cell(spec.prompt), spec.seed, *(numbers.get(name) for name in names)]
            if images:
                row += list(before_and_after(stored).values()) if number < MOST_PICTURED else [None, None]
            rows.append(row)
        return Grid(["trial", "prompt", "seed", *names, *pictured], rows)


def before_and_after(stored: Stored) -> dict[str, Picture | None]:
    """A trial's initial and best image, as they are stored; None for one that cannot be read."""
    record = stored.record
    metric = record.labels.metric
    found: dict[str, Picture | None] = {}
    for name, image, iteration in (("before", "initial", 0), ("after", "best", record.best_iteration)):
        score = getattr(record.scores, image).get(metric)
        try:
            found[name] = Picture(stored.read(f"{image}.png"), caption(iteration, score))
        except BadInput:
            found[name] = None
    return found
