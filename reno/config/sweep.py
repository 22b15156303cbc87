"""The folders that Hydra makes, and the exit status of a sweep. A sweep's jobs may run in other processes, so each job
writes its status to its folder.

status.json is `null` while the job runs, then its exit status. A job without a status has failed.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

STATUS = "status.json"
HYDRAS_OWN = "multirun.yaml"
"""The file that Hydra writes into a sweep's folder before the first job."""


class SweepFolder:
    """A Hydra callback that remembers the folder of the latest sweep, and which folders were there before Hydra made
    those of the latest job or sweep."""

    latest: Path | None = None
    there: frozenset[Path] | None = None

    def on_run_start(self, config, **_: Any) -> None:
        SweepFolder.there = _there(Path(config.hydra.run.dir))

    def on_multirun_start(self, config, **_: Any) -> None:
        SweepFolder.latest = Path(config.hydra.sweep.dir)
        SweepFolder.there = _there(SweepFolder.latest)

    def __getattr__(self, name: str):
        if name.startswith("on_"):
            return lambda *_, **__: None
        raise AttributeError(name)


def _there(folder: Path) -> frozenset[Path]:
    return frozenset(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def remove_if_empty(folder: Path) -> None:
    """Removes a folder, and the folders above it, as far as they are empty and Hydra has made them."""
    for empty in (folder.absolute(), *folder.absolute().parents):
        if SweepFolder.there is None or empty in SweepFolder.there:
            return
        try:
            empty.rmdir()
        except OSError:
            return


def begin_status(folder: Path) -> None:
    """Writes the status of a running job."""
    _write(folder, None)


def end_status(folder: Path, status: int) -> None:
    """Writes the status of a job that ended."""
    _write(folder, status)


def _write(folder: Path, status: int | None) -> None:
    with contextlib.suppress(OSError):  # a folder that cannot be written is an error that the job itself reports
        folder.mkdir(parents=True, exist_ok=True)
        (folder / STATUS).write_text(json.dumps(status), encoding="utf-8")


def worst_status(sweep: Path) -> int | None:
    """The highest status of a sweep's jobs, at any depth of folders; a job without a status counts as 1. None if there
    is no job at all. Removes the status files, and every folder that is then empty, the sweep's own included."""
    found = sorted(sweep.rglob(STATUS))
    statuses = [_read(path) for path in found]
    for path in found:
        path.unlink(missing_ok=True)
        _remove_empty(path.parent, sweep)
    if [path.name for path in sweep.glob("*")] == [HYDRAS_OWN]:
        (sweep / HYDRAS_OWN).unlink()
    remove_if_empty(sweep)
    return max((1 if status is None else status for status in statuses), default=None)


def _read(path: Path) -> int | None:
    try:
        status = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return status if isinstance(status, int) else None


def _remove_empty(folder: Path, top: Path) -> None:
    """Removes a folder and those above it, up to `top`, as far as they are empty."""
    for empty in (folder, *folder.parents):
        try:
            empty.rmdir()
        except OSError:
            return
        if empty == top:
            return
