"""Weights & Biases: a view of the results store, a run for each trial or one for the job, that delays no trial.

The store is the source of truth. If Weights & Biases fails, the job prints one warning and loses no trial; `logged`
tells which stored trials to show again. The job uses a `Tracker` and never wandb itself:

    tracker = make_tracker(TrackingSpec(mode="auto"), Path("results"), warn=print)
    tracker.start(card)
    tracker.log(card.id, iteration, {"loss": 71.3, "score": 28.7}, image)
    tracker.finish(card.id, {"score/best": 31.2})
    print("\n".join(tracker.close()))

listener.py     a job, as calls of a tracker
cards.py jobs.py   what is shown of a trial, and of a job
surroundings.py what W&B's environment variables ask for
judgements.py   judgements that are made later
tracker.py      the tracker: passes each call to a thread
background.py   the thread: passes each call to a process
apart.py        the process
runs.py         the calls of wandb, in that process
shown.py        pictures and tables in a row
names.py        texts as W&B takes them
folder.py       the files on disk
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from reno.spec.errors import BadInput, did_you_mean
from reno.tracking.folder import logged

__all__ = ["NullTracker", "RunCard", "Tracker", "TrackingSpec", "check_place", "logged", "make_tracker"]

MOST_OF_A_TAG = 64
MODES = ("auto", "online", "offline", "disabled")
LEVELS = ("all", "summary")


def check_place(knob: str, name: object) -> None:
    """Raises BadInput for a project, user or team that W&B cannot have."""
    fits = isinstance(name, str) and 0 < len(name) <= 128 and name.strip() and name.isprintable()
    if not fits or set(name) & set("/\\#?%:"):
        raise BadInput(f"{knob}={name!r} must be 1 to 128 characters and none of /\\#?%:")


@dataclass(frozen=True)
class TrackingSpec:
    """The user's choices about tracking. Raises BadInput for a value that cannot be used."""

    mode: str = "auto"
    """online, offline, disabled, or auto: the mode of WANDB_MODE, else online if a key is configured, else offline."""
    project: str | None = None
    """The W&B project; None: that of WANDB_PROJECT or of W&B's settings file, else reno."""
    entity: str | None = None
    """The W&B user or team; None: that of WANDB_ENTITY, else the default of the API key."""
    tags: tuple[str, ...] = ()
    """Tags of every run, besides its own; empty: those of WANDB_TAGS. A text is one tag."""
    level: str = "all"
    """all: a run for each trial. summary: one run for the job, with a table of its trials."""
    images: bool = True
    """Log images."""
    images_every: int = 1
    """Log the image of each so many iterations; those before and after are always logged."""
    timeout: float = 30
    """Seconds one W&B call may take before tracking is given up."""

    @classmethod
    def from_knobs(cls, knobs: dict[str, Any]) -> TrackingSpec:
        """The spec from the knobs tracking.*. Raises BadInput for an unknown knob."""
        known = [one.name for one in fields(cls)]
        if foreign := [name for name in knobs if name not in known]:
            raise BadInput(
                f"tracking.{foreign[0]} is not a knob; tracking has {', '.join(known)}{did_you_mean(foreign[0], known)}"
            )
        return cls(**knobs)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tags", _checked_tags(self.tags))
        for knob, known in (("mode", MODES), ("level", LEVELS)):
            value = getattr(self, knob)
            if value not in known:
                hint = did_you_mean(value, list(known)) or f"; it is one of {', '.join(known)}"
                raise BadInput(f"tracking.{knob}={value!r} is not known{hint}")
        for knob in ("project", "entity"):
            if getattr(self, knob) is not None:
                check_place(f"tracking.{knob}", getattr(self, knob))
        if not isinstance(self.images, bool):
            raise BadInput(f"tracking.images={self.images!r} must be true or false")
        if not isinstance(self.images_every, int) or isinstance(self.images_every, bool) or self.images_every < 1:
            raise BadInput(
                f"tracking.images_every={self.images_every!r} must be a whole number of iterations, 1 or more"
            )
        number = isinstance(self.timeout, int | float) and not isinstance(self.timeout, bool)
        if not number or not math.isfinite(self.timeout) or self.timeout <= 0:
            raise BadInput(f"tracking.timeout={self.timeout!r} must be seconds above 0, such as 30")


def _checked_tags(tags: object) -> tuple[str, ...]:
    """One tag or a list of them. Raises BadInput for what W&B would refuse, which would cost every run."""
    listed = [tags] if isinstance(tags, str) else tags
    if not isinstance(listed, Sequence):
        raise BadInput(f"tracking.tags={tags!r} must be a tag or a list of tags: tracking.tags=[pilot,colors]")
    for tag in listed:
        if not isinstance(tag, str) or not tag.strip() or len(tag) > MOST_OF_A_TAG or not tag.isprintable():
            raise BadInput(f"tracking.tags holds {tag!r}; a tag is a text of 1 to {MOST_OF_A_TAG} characters")
    return tuple(listed)


@dataclass(frozen=True)
class RunCard:
    """A trial or a job, as a tracker needs it to start its run."""

    id: str
    """The run's id in W&B: a trial's identity, 64 hexadecimal digits; or a job's id."""
    name: str
    """A short readable name."""
    group: str
    """The study or sweep."""
    job_type: str
    """A trial's metric; `job` for a job."""
    config: dict
    """What one filters and groups runs by, as JSON values, and `provenance` with everything else."""
    tags: tuple[str, ...] = ()
    axis: str = "iteration"
    """The key of a row that stands on the x axis."""
    sweep: str | None = None
    """The id of the W&B sweep that asked for this run."""


class Tracker(Protocol):
    """Shows runs. No method raises or hangs; many runs may be open at once."""

    def start(self, card: RunCard) -> None:
        """Open a run. It replaces what an earlier process left of it."""

    def log(self, run_id: str, at: int, values: dict[str, Any], image: np.ndarray | None) -> None:
        """Add one row, `at` on the run's axis: numbers, or pictures and tables of `shown.py`; values of None are left
        out. image: uint8 (H, W, 3) or None."""

    def keep(self, run_id: str, name: str, kind: str, files: dict[str, Path]) -> None:
        """Add files to the run as an artifact. files: by their names in the artifact."""

    def finish(
        self, run_id: str, summary: dict[str, Any], failed: str | None = None, record: str | None = None
    ) -> None:
        """End the run with its summary. failed: the reason if it did not succeed. record: a text that the config's
        provenance is to hold."""

    def amend(self, run_id: str, summary: dict[str, Any], record: str) -> None:
        """Replace values of the summary, and the record, of a run that has ended. A run that cannot be reached is
        shown again when its job's command runs again."""

    def close(self) -> list[str]:
        """Wait, for a limited time, until all calls are made. Returns lines for the user that say where the runs
        are."""


class NullTracker:
    """A tracker that shows nothing."""

    def start(self, card: RunCard) -> None:
        pass

    def log(self, run_id: str, at: int, values: dict[str, Any], image: np.ndarray | None) -> None:
        pass

    def keep(self, run_id: str, name: str, kind: str, files: dict[str, Path]) -> None:
        pass

    def finish(
        self, run_id: str, summary: dict[str, Any], failed: str | None = None, record: str | None = None
    ) -> None:
        pass

    def amend(self, run_id: str, summary: dict[str, Any], record: str) -> None:
        pass

    def close(self) -> list[str]:
        return []


def make_tracker(settings: TrackingSpec, results: Path, warn: Callable[[str], None]) -> Tracker:
    """The tracker that `settings` asks for, with its runs in `results`/wandb, or in WANDB_DIR. wandb is imported when a
    run starts.

    warn: called with one sentence for each thing that goes wrong with tracking, on the thread that uses the tracker.
    """
    if settings.mode == "disabled":
        return NullTracker()
    from reno.tracking.tracker import WandbTracker

    return WandbTracker(settings, Path(results), warn)
