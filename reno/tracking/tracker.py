"""The tracker of Weights & Biases: passes every call to a thread, which passes it to another process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reno.tracking.apart import RunsApart
from reno.tracking.background import Background

if TYPE_CHECKING:
    from reno.tracking import RunCard, TrackingSpec

CLOSE_TIMEOUTS = 10  # closing the tracker may take this many timeouts

_hung = ""  # why a call hung in this process; W&B is not used again then


def forget_hang() -> None:
    """Lets this process use W&B again after a call hung."""
    global _hung
    _hung = ""


class WandbTracker:
    """A `Tracker` that shows runs in Weights & Biases."""

    def __init__(self, settings: TrackingSpec, results: Path, warn: Callable[[str], None]) -> None:
        self._results = results
        self._warn = warn
        self._images = settings.images
        self._axes: dict[str, str] = {}
        self._notices: deque[str] = deque()
        self._background = Background("reno-tracking", settings.timeout)
        self._runs = RunsApart(settings, results, self._background.step, self._notices.append)
        self._background.failure = _hung or None
        self._told = bool(_hung)

    def start(self, card: RunCard) -> None:
        self._axes[card.id] = card.axis
        self._do(lambda: self._runs.start(card))

    def log(self, run_id: str, at: int, values: dict[str, Any], image: np.ndarray | None) -> None:
        row = {self._axes[run_id]: at, **{name: value for name, value in values.items() if value is not None}}
        # A copy: the caller may draw the next image into the same memory.
        pixels = np.array(image, dtype=np.uint8) if self._images and image is not None else None
        self._do(lambda: self._runs.log(run_id, row, pixels))

    def keep(self, run_id: str, name: str, kind: str, files: dict[str, Path]) -> None:
        told = {inside: str(Path(path).absolute()) for inside, path in files.items()}
        self._do(lambda: self._runs.keep(run_id, name, kind, told))

    def finish(
        self, run_id: str, summary: dict[str, Any], failed: str | None = None, record: str | None = None
    ) -> None:
        told = _without_none(summary)
        self._do(lambda: self._runs.finish(run_id, told, failed, record))

    def amend(self, run_id: str, summary: dict[str, Any], record: str) -> None:
        told = _without_none(summary)
        self._do(lambda: self._runs.amend(run_id, told, record))

    def close(self) -> list[str]:
        if self._background.started:
            self._background.submit(self._runs.close)
            self.drain(CLOSE_TIMEOUTS * self._background.timeout)
        lines = self._runs.places()
        if self._background.failure:
            lines.append(
                f"Weights & Biases was given up ({self._background.failure}); every result is safe in {self._results}"
            )
        return lines

    def drain(self, seconds: float) -> None:
        """Waits until the calls so far are made, at most so long. Open runs stay open; later calls are not made."""
        self._background.drain(seconds)
        self._tell()

    def _do(self, call: Callable[[], None]) -> None:
        if self._background.failure is None:
            self._background.submit(call)
        self._tell()

    def _tell(self) -> None:
        """Warn of what went wrong in the thread. The thread itself would write over the progress bar."""
        global _hung
        while self._notices:
            self._warn(self._notices.popleft())
        if self._background.failure and not self._told:
            self._told = True
            if self._background.hung:
                _hung = self._background.failure
            self._runs.abandon()
            self._warn(
                f"Weights & Biases is given up, the trials go on: {self._background.failure}; "
                f"results are stored in {self._results} all the same"
            )


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
