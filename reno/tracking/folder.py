"""Tracking's files on disk, under RESULTS/wandb: the runs that wandb writes, and two small files of this program.

offline-run-<time>-<trial id>/   a run, for `wandb sync` to upload; `run-...` if it was online
logged/<trial id>.json           written when the trial's run is whole; says where it is
open/<trial id>                  locked by the process that has the trial's run open
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows: two processes on one trial are then not kept apart
    fcntl = None  # type: ignore[assignment]


def logged(results: Path, trial_id: str) -> bool:
    """Whether the trial's W&B run was finished whole; if not, the trial can be shown again from the store."""
    return _marker(results, trial_id).is_file()


def mark_logged(results: Path, trial_id: str, where: dict[str, str | None]) -> None:
    """Record, atomically, that the trial's run is whole. Raises OSError."""
    marker = _marker(results, trial_id)
    marker.parent.mkdir(parents=True, exist_ok=True)
    draft = marker.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps(where, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, marker)


def discard(results: Path, trial_id: str) -> None:
    """Remove the files of the trial's earlier run; a sync would upload the trial twice. Raises OSError."""
    _marker(results, trial_id).unlink(missing_ok=True)
    ours = re.compile(rf"(offline-)?run-\d{{8}}_\d{{6}}-{re.escape(trial_id)}(-\d+)?")
    for directory in (results / "wandb").iterdir():
        if ours.fullmatch(directory.name):
            shutil.rmtree(directory)


def claim(results: Path, trial_id: str) -> IO | None:
    """Lock the trial's run for this process; None if another process has it open. Raises OSError.

    The lock ends with the process, even if it is killed. Without it, two workers that race to the same trial would
    delete each other's run directory.
    """
    path = results / "wandb" / "open" / trial_id
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        lock = path.open("w")
        if fcntl is None:
            return lock
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return None
        except OSError:  # a file system without locks
            return lock
        if _same_file(path, lock):
            return lock
        lock.close()  # its last owner removed it between our open and our lock


def release(results: Path, trial_id: str, lock: IO) -> None:
    """Release the lock. Does nothing if it was released before."""
    if not lock.closed:
        (results / "wandb" / "open" / trial_id).unlink(missing_ok=True)
        lock.close()


def _same_file(path: Path, file: IO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _marker(results: Path, trial_id: str) -> Path:
    return Path(results) / "wandb" / "logged" / f"{trial_id}.json"
