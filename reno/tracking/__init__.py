"""Weights & Biases: a view of the results store, one run per trial, that does not delay the trials.

The store is the source of truth. If Weights & Biases fails, the job prints one warning and loses no trial; `logged`
tells which stored trials to show again. The job uses a `Tracker` and never wandb itself:

    tracker = make_tracker(TrackingSpec(mode="auto"), Path("results"), warn=print)
    tracker.start(card)
    tracker.log(card.id, iteration, {"loss": 71.3, "score": 28.7}, image)
    tracker.finish(card.id, {"score/best": 31.2})
    print("\n".join(tracker.close()))

listener.py cards.py   a job's trials, as calls of a tracker
tracker.py      the tracker: passes each call to a thread
background.py   the thread: passes each call to a process
apart.py        the process
runs.py         the calls of wandb, in that process
shown.py        pictures and tables in a row
folder.py       the files on disk
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from reno.spec.errors import BadInput, did_you_mean
from reno.tracking.folder import logged

__all__ = ["NullTracker", "Tracker", "TrackingSpec", "TrialCard", "check_place", "logged", "make_tracker"]

MODES = ("auto", "online", "offline", "disabled")


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
    project: str = "reno"
    """The W&B project."""
    entity: str | None = None
    """The W&B user or team; None: the default of the API key."""
    images: bool = True
    """Log the image of each iteration."""
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
        if self.mode not in MODES:
            hint = did_you_mean(self.mode, list(MODES)) or f"; it is one of {', '.join(MODES)}"
            raise BadInput(f"tracking.mode={self.mode!r} is not known{hint}")
        check_place("tracking.project", self.project)
        if self.entity is not None:
            check_place("tracking.entity", self.entity)
        if not isinstance(self.images, bool):
            raise BadInput(f"tracking.images={self.images!r} must be true or false")
        number = isinstance(self.timeout, int | float) and not isinstance(self.timeout, bool)
        if not number or not math.isfinite(self.timeout) or self.timeout <= 0:
            raise BadInput(f"tracking.timeout={self.timeout!r} must be seconds above 0, such as 30")


@dataclass(frozen=True)
class TrialCard:
    """A trial, as a tracker needs it to start its run."""

    id: str
    """The trial's identity, 64 hexadecimal digits; the W&B run has the same id."""
    name: str
    """A short readable name."""
    group: str
    """The study or sweep."""
    job_type: str
    """The metric's name."""
    config: dict
    """The complete spec and its provenance, as JSON values."""
    tags: tuple[str, ...] = ()


class Tracker(Protocol):
    """Shows the trials of a job. No method raises or hangs; many trials may be open at once."""

    def start(self, card: TrialCard) -> None:
        """Open the trial's run. It replaces what an earlier process left of it."""

    def log(self, trial_id: str, iteration: int, values: dict[str, float | None], image: np.ndarray | None) -> None:
        """Add one row at `iteration`: numbers, or pictures and tables of `shown.py`; values of None are left out.
        image: uint8 (H, W, 3) or None."""

    def finish(
        self, trial_id: str, summary: dict[str, float | int | bool | str | None], failed: str | None = None
    ) -> None:
        """End the trial's run with its summary; `failed` is the reason if the trial did not succeed."""

    def close(self) -> list[str]:
        """Wait, for a limited time, until all calls are made. Returns lines for the user that say where the runs
        are."""


class NullTracker:
    """A tracker that shows nothing."""

    def start(self, card: TrialCard) -> None:
        pass

    def log(self, trial_id: str, iteration: int, values: dict[str, float | None], image: np.ndarray | None) -> None:
        pass

    def finish(
        self, trial_id: str, summary: dict[str, float | int | bool | str | None], failed: str | None = None
    ) -> None:
        pass

    def close(self) -> list[str]:
        return []


def make_tracker(settings: TrackingSpec, results: Path, warn: Callable[[str], None]) -> Tracker:
    """The tracker that `settings` asks for, with its runs in `results`/wandb. wandb is imported when a trial starts.

    warn: called with one sentence for each thing that goes wrong with tracking, on the thread that uses the tracker.
    """
    if settings.mode == "disabled":
        return NullTracker()
    from reno.tracking.tracker import WandbTracker

    return WandbTracker(settings, Path(results), warn)
