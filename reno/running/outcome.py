"""How a job ended: what it ran, what was stored before, what failed and why."""

from __future__ import annotations

from dataclasses import dataclass, field

from reno.spec.errors import INTERRUPTED


@dataclass
class Outcome:
    """How a job ended."""

    done: list[str] = field(default_factory=list)
    """Ids of the trials that this job ran and stored."""
    skipped: list[str] = field(default_factory=list)
    """Ids of the trials that were stored before."""
    elsewhere: list[str] = field(default_factory=list)
    """Ids of the trials that other workers stored while this job ran."""
    failed: dict[str, str] = field(default_factory=dict)
    """Why, by id."""
    interrupted: bool = False
    places: list[str] = field(default_factory=list)
    """Lines for the user that say where results are; listeners add to them."""

    @property
    def status(self) -> int:
        """Exit status: 0, 1 if a trial failed, 130 if the user stopped the job."""
        return INTERRUPTED if self.interrupted else 1 if self.failed else 0
