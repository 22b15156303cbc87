"""Sends judgements that were made after a trial's job to the trial's run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from reno.store.stored import Stored
from reno.tracking import Tracker, TrackingSpec, logged, make_tracker
from reno.tracking.cards import numbers_of, record_text


def show_judgements(
    judged: Iterable[Stored],
    settings: TrackingSpec,
    results: Path,
    warn: Callable[[str], None],
    make: Callable[[TrackingSpec, Path, Callable[[str], None]], Tracker] = make_tracker,
) -> list[str]:
    """Replaces the summaries of the runs of these trials. A trial that has no run gets none. Returns lines for the user
    that say where the runs are."""
    tracker = make(settings, results, warn)
    for stored in judged:
        if logged(results, stored.id):
            judgements = stored.judgements()
            tracker.amend(stored.id, numbers_of(stored.record, judgements), record_text(stored.record, judgements))
    return tracker.close()
