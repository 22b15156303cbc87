"""Tracking's files on disk, under RESULTS/wandb: the runs that wandb writes, and two small files of this program.

offline-run-<time>-<run id>/   a run, for `wandb sync` to upload; `run-...` if it was online; in WANDB_DIR/wandb if
                               that is set
logged/<run id>.json           written when the run is whole; says where it is
open/<run id>                  locked by the process that has the run open
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


def logged(results: Path, run_id: str) -> bool:
    """Whether the W&B run was finished whole; if not, a trial can be shown again from the store."""
    return _marker(results, run_id).is_file()


def mark_logged(results: Path, run_id: str, where: dict[str, str | None]) -> None:
    """Record, atomically, that the run is whole. Raises OSError."""
    marker = _marker(results, run_id)
    marker.parent.mkdir(parents=True, exist_ok=True)
    draft = marker.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps(where, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, marker)


def where(results: Path, run_id: str) -> dict[str, str | None]:
    """What `mark_logged` recorded of a run; empty if that cannot be read."""
    try:
        found = json.loads(_marker(results, run_id).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def forget(results: Path, run_id: str) -> None:
    """Let the run count as not logged: the trial is shown again when its job's command runs again. Raises OSError."""
    _marker(results, run_id).unlink(missing_ok=True)


def discard(results: Path, runs: Path, run_id: str) -> None:
    """Remove the files of an earlier run of this id from the folder `runs`; a sync would upload both. Raises
    OSError."""
    forget(results, run_id)
    ours = re.compile(rf"(offline-)?run-\d{{8}}_\d{{6}}-{re.escape(run_id)}(-\d+)?")
    for directory in runs.iterdir() if runs.is_dir() else ():
        if ours.fullmatch(directory.name):
            shutil.rmtree(directory)


def claim(results: Path, run_id: str) -> IO | None:
    """Lock the run for this process; None if another process has it open. Raises OSError.

    The lock ends with the process, even if it is killed. Without it, two workers that race to the same trial would
    delete each other's run directory.
    """
    path = results / "wandb" / "open" / run_id
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


def release(results: Path, run_id: str, lock: IO) -> None:
    """Release the lock. Does nothing if it was released before."""
    if not lock.closed:
        (results / "wandb" / "open" / run_id).unlink(missing_ok=True)
        lock.close()


def _same_file(path: Path, file: IO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _marker(results: Path, run_id: str) -> Path:
    return Path(results) / "wandb" / "logged" / f"{run_id}.json"
