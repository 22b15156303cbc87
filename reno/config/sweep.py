"""The folders that Hydra makes, and the exit status of a sweep. A sweep's jobs may run in other processes, so each job
writes its status to its folder.

status.json is `null` while the job runs, then its exit status, and what its user should read if the job printed it
somewhere else. A job without a status has failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STATUS = "status.json"
SCREEN = "RENO_SCREEN"
"""The environment variable that says where the sweep prints its errors, for jobs in other processes."""
HYDRAS_OWN = "multirun.yaml"
"""The file that Hydra writes into a sweep's folder before the first job."""


class SweepFolder:
    """A Hydra callback that remembers the folder of the latest sweep, and which folders were there before Hydra made
    those of the latest job or sweep."""

    latest: Path | None = None
    there: frozenset[Path] | None = None

    def on_run_start(self, config, **_: Any) -> None:
        with _told_by_hydra():
            SweepFolder.there = _there(Path(config.hydra.run.dir))

    def on_multirun_start(self, config, **_: Any) -> None:
        with _told_by_hydra():
            SweepFolder.latest = Path(config.hydra.sweep.dir)
            SweepFolder.there = _there(SweepFolder.latest)

    def __getattr__(self, name: str):
        if name.startswith("on_"):
            return lambda *_, **__: None
        raise AttributeError(name)


@contextlib.contextmanager
def _told_by_hydra() -> Iterator[None]:
    """A folder that cannot be found out: Hydra raises the same when it makes it, and only warns of a callback's."""
    from omegaconf.errors import InterpolationResolutionError

    with contextlib.suppress(InterpolationResolutionError):
        yield


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


def end_status(folder: Path, status: int, said: str = "") -> None:
    """Writes the status of a job that ended. said: what went wrong, if anything; it is kept where the user of the sweep
    has not seen it, because a launcher has sent what the job prints to another place."""
    _write(folder, [status, said] if said and os.environ.get(SCREEN, "") not in ("", screen()) else status)


def screen() -> str:
    """Where this process prints its errors; empty if that is nowhere."""
    try:
        place = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return ""
    return f"{socket.gethostname()}:{place.st_dev}:{place.st_ino}"


def said_elsewhere(sweep: Path) -> list[str]:
    """What jobs of a sweep said that its user has not seen, in the order of the jobs' folders."""
    return [said for path in sorted(sweep.rglob(STATUS)) if (said := _read(path)[1])]


def _write(folder: Path, status: object) -> None:
    with contextlib.suppress(OSError):  # a folder that cannot be written is an error that the job itself reports
        folder.mkdir(parents=True, exist_ok=True)
        (folder / STATUS).write_text(json.dumps(status), encoding="utf-8")


def worst_status(sweep: Path) -> int | None:
    """The highest status of a sweep's jobs, at any depth of folders; a job without a status counts as 1. None if there
    is no job at all. Removes the status files, and every folder that is then empty, the sweep's own included."""
    found = sorted(sweep.rglob(STATUS))
    statuses = [_read(path)[0] for path in found]
    for path in found:
        path.unlink(missing_ok=True)
        _remove_empty(path.parent, sweep)
    if [path.name for path in sweep.glob("*")] == [HYDRAS_OWN]:
        (sweep / HYDRAS_OWN).unlink()
    remove_if_empty(sweep)
    return max((1 if status is None else status for status in statuses), default=None)


def _read(path: Path) -> tuple[int | None, str]:
    """A job's status, and what it said elsewhere."""
    try:
        status = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None, ""
    if isinstance(status, list):
        return status[0], status[1]
    return (status if isinstance(status, int) else None), ""


def _remove_empty(folder: Path, top: Path) -> None:
    """Removes a folder and those above it, up to `top`, as far as they are empty."""
    for empty in (folder, *folder.parents):
        try:
            empty.rmdir()
        except OSError:
            return
        if empty == top:
            return
