"""Worker processes on one store. They are forks of the test's process, so that none loads libraries or models again."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reno.running.listeners import Listener
from reno.store.store import Store


class Tally(Listener):
    """Writes a line for each trial that a batch begins with, so that what several processes did can be counted."""

    def __init__(self, path: Path):
        self.path = path

    def batch_begins(self, batch):
        note(self.path, batch.provenance)


def note(path: Path, trials) -> None:
    """Adds the ids of trials that this process is about to run."""
    with path.open("a") as stream:
        stream.write("".join(f"{trial} {os.getpid()}\n" for trial in trials))  # one write: lines stay whole


def begun(path: Path) -> Counter:
    """How often each trial was begun."""
    return Counter(line.split()[0] for line in path.read_text().splitlines()) if path.exists() else Counter()


def started(act: Callable[[], object]) -> int:
    """A process that does `act`, silently, and ends with status 0; 9 if it raises."""
    if pid := os.fork():
        return pid
    status = 9
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            act()
        status = 0
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(status)


def ended(*pids: int) -> list[int]:
    """Waits for processes; their exit statuses, -9 for one that was killed."""
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def wait_until(true: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def essence(root: Path) -> dict[str, Any]:
    """What must not depend on who ran a trial: its files without times, its scores, its batch."""
    found = {}
    for trial in Store(root):
        record, batch = trial.record, trial.record.provenance.batch
        found[trial.id] = (
            trial.trace().drop(columns="seconds").to_json(),
            *(record.files[name].sha256 for name in ("initial.png", "best.png", "frames.webp", "noise.safetensors")),
            record.scores, record.judgements, [mate.id for mate in batch.trials], batch.place, batch.shape,
        )  # fmt: skip
    return found
