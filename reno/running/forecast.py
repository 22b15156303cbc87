"""What a job, or a sweep of jobs, would run: which trials are new, how long they take and how much they write. Nothing
is loaded and nothing is written."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from reno.running.plan import Plan, cut, damaged_judgements, estimate_seconds, judged_otherwise, missing, read_finished
from reno.spec.errors import BadInput
from reno.store.store import Store
from reno.store.stored import Damaged, Stored


@dataclass(frozen=True)
class Forecast:
    """What one job would run."""

    plan: Plan
    finished: dict[str, Stored]
    """The job's trials that are stored, by id."""
    new: tuple[str, ...]
    """The ids of those that are neither stored nor run by an earlier job of the sweep."""
    seconds: tuple[float, str] | None
    """How long it takes, and where that is known from; None if it is not known."""
    size: int | None
    """Bytes that the new trials write; None if that is not known."""
    damaged: tuple[str, ...] = ()
    """A sentence for each trial and judgement that is damaged, so that the run makes these trials again, and one if
    stored trials are judged for other bindings than the job's."""


@dataclass
class Foresight:
    """Looks at the jobs of a command one after the other. A trial that two jobs share counts for the first."""

    forecasts: list[Forecast] = field(default_factory=list)
    _stores: dict[Path, dict[str, Stored | Damaged]] = field(default_factory=dict)
    _seen: dict[Path, set[str]] = field(default_factory=dict)

    def look(self, plan: Plan) -> Forecast:
        """What the plan would run after those that were added. Raises BadInput if a trial of it cannot be read."""
        root = plan.job.results.absolute()
        _refuse_no_folder(root)
        if root not in self._stores:
            Store(root).catch_up(jobs=False)
        everything = self._everything(root)
        finished, damaged = read_finished(plan.trials, Store(root))
        seen = self._seen.get(root, set())
        ids = dict.fromkeys(trial.id for trial in plan.trials)
        new = tuple(trial for trial in ids if trial not in finished and trial not in seen)
        side_by_side = plan.job.batch_size or 1  # a short batch is filled up with copies
        batches = missing(cut(plan.trials, side_by_side), finished.keys() | seen)
        seconds = estimate_seconds(plan, everything.values(), len(batches) * side_by_side)
        size = estimate_bytes(plan, everything.values())
        unusable = [one.sentence for one in damaged] + damaged_judgements(finished.values())
        unusable += filter(None, [judged_otherwise(plan.trials, finished)])
        return Forecast(plan, finished, new, seconds, None if size is None else len(new) * size, tuple(unusable))

    def add(self, found: Forecast) -> None:
        """Counts a job that can run: a later job that shares its trials finds them there."""
        self.forecasts.append(found)
        self._seen.setdefault(found.plan.job.results.absolute(), set()).update(trial.id for trial in found.plan.trials)

    def _everything(self, root: Path) -> dict[str, Stored | Damaged]:
        """The trials of a store, read once."""
        if root not in self._stores:
            self._stores[root] = {one.id if isinstance(one, Stored) else one.trial: one for one in Store(root)}
        return self._stores[root]

    @property
    def stored(self) -> int:
        """How many different trials of all jobs are stored."""
        return len(_distinct((one.plan, one.finished) for one in self.forecasts))

    @property
    def trials(self) -> int:
        """How many different trials all jobs have."""
        return len(_distinct((one.plan, [trial.id for trial in one.plan.trials]) for one in self.forecasts))


def _refuse_no_folder(root: Path) -> None:
    """Raises BadInput if something that is no folder stands where the store or a folder above it would be made."""
    there = next(place for place in (root, *root.parents) if place.exists())
    if not there.is_dir():
        raise BadInput(f"results={root} cannot be made: {there} is not a folder; give another results=DIR")


def _distinct(found: Iterable[tuple[Plan, Collection[str]]]) -> set[tuple[Path, str]]:
    return {(plan.job.results.absolute(), trial) for plan, ids in found for trial in ids}


def estimate_bytes(plan: Plan, everything: Iterable[Stored | Damaged]) -> int | None:
    """The bytes that one trial writes; None if that is not known.

    The source is stored trials of the same generator, those whose number of images is nearest, else the models'
    `reference_bytes`.
    """
    sizes: dict[int, list[int]] = {}
    for stored in everything:
        if isinstance(stored, Stored) and stored.record.spec.generator == plan.generator.identity:
            total = sum(entry.bytes for entry in stored.record.files.values())
            sizes.setdefault(stored.record.timings.images, []).append(total)
    if sizes:
        nearest = min(sizes, key=lambda images: abs(images - plan.images))
        return round(median(sizes[nearest]) * plan.images / nearest)
    per_image = plan.job.reference_bytes
    return None if per_image is None else round(per_image * plan.images)
