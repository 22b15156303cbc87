"""Runs wandb in a separate process, so that it does not slow down the interpreter that runs the trials, and a call that
hangs can be ended.

`RunsApart` has the methods of `Runs` and sends each call to the process, which answers with lines of JSON: `step`, the
name of the wandb call that comes next, to report a hang; `notice`, a warning for the user; and at the end `done` or
`failed`. An image follows its call's line as plain bytes. The process ends when the one that started it ends.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from reno import ENDING
from reno.spec.errors import typed_line
from reno.tracking.background import Refused
from reno.tracking.shown import described

if TYPE_CHECKING:
    from reno.tracking import RunCard, TrackingSpec

OF_ONE_RUN = (
    "WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_RESUME", "WANDB_RUN_GROUP", "WANDB_JOB_TYPE",
)  # fmt: skip
"""Variables that W&B would take for each run of the process. The cards say which run they are for."""
CHECKOUT = Path(__file__).resolve().parent.parent.parent


class IdleProcesses:
    """Processes of finished jobs. The next job of a sweep uses one again, without importing wandb anew."""

    def __init__(self) -> None:
        self._waiting: list[tuple[tuple, subprocess.Popen]] = []
        """Each with the folder and environment variables from which W&B took its settings."""

    @property
    def pids(self) -> list[int]:
        return [process.pid for _, process in self._waiting]

    def keep(self, process: subprocess.Popen) -> None:
        self._waiting.append((_surroundings(), process))

    def take(self) -> subprocess.Popen | None:
        """One with the settings of now; None if there is none. Ends those with other settings."""
        while self._waiting:
            surroundings, process = self._waiting.pop()
            if surroundings == _surroundings() and process.poll() is None:
                return process
            process.kill()
        return None


IDLE = IdleProcesses()
"""Those of this process."""


class RunsApart:
    """`Runs` in another process. All methods except `places` and `abandon` must be called from one thread."""

    def __init__(
        self,
        settings: TrackingSpec,
        results: Path,
        step: Callable[[str], None],  # names the wandb call that follows
        notice: Callable[[str], None],  # takes a warning for the user
    ) -> None:
        self._job = {"settings": dataclasses.asdict(settings), "results": str(Path(results).absolute())}
        self._step = step
        self._notice = notice
        self._process: subprocess.Popen | None = None
        self._places: list[str] = []

    def start(self, card: RunCard) -> None:
        self._ask("start", dataclasses.asdict(card))

    def log(self, run_id: str, row: dict[str, Any], pixels: np.ndarray | None) -> None:
        self._ask("log", run_id, row, pixels=pixels)

    def keep(self, run_id: str, name: str, kind: str, files: dict[str, str]) -> None:
        self._ask("keep", run_id, name, kind, files)

    def finish(self, run_id: str, summary: dict[str, Any], failed: str | None, record: str | None) -> None:
        self._ask("finish", run_id, summary, failed, record)

    def amend(self, run_id: str, summary: dict[str, Any], record: str) -> None:
        self._ask("amend", run_id, summary, record)

    def close(self) -> None:
        self._ask("close")
        IDLE.keep(self._process)
        self._process = None

    def places(self) -> list[str]:
        """Where the finished runs are, one line for each place, as the process last reported."""
        return self._places

    def abandon(self) -> None:
        """End the process at once. W&B's own service ends when its parent process is gone."""
        process, self._process = self._process, None
        if process:
            process.kill()
            process.wait()

    def _ask(self, name: str, *arguments: Any, pixels: np.ndarray | None = None) -> None:
        if self._process is None:
            self._process = self._ready()
            self._send(self._process, "job", self._job)
        self._send(self._process, name, *arguments, pixels=pixels)

    def _ready(self) -> subprocess.Popen:
        """A process that waits for a job. The time that it takes to start does not count for the timeout."""
        if process := IDLE.take():
            return process
        self._step("")
        process = _launch()
        self._hear(process)
        return process

    def _send(self, process: subprocess.Popen, *call: Any, pixels: np.ndarray | None = None) -> None:
        shape = None if pixels is None else pixels.shape
        line = json.dumps([shape, *call], default=described)
        try:
            process.stdin.write(line.encode() + b"\n")
            if pixels is not None:
                process.stdin.write(np.ascontiguousarray(pixels).data)
            process.stdin.flush()
        except OSError:
            raise Refused("its process ended") from None
        self._hear(process)

    def _hear(self, process: subprocess.Popen) -> None:
        """Handles the answers of the process until a call is done. Raises Refused if it failed."""
        for line in process.stdout:
            kind, said = json.loads(line)
            if kind == "step":
                self._step(said)
            elif kind == "notice":
                self._notice(said)
            elif kind == "failed":
                raise Refused(said)
            else:
                self._places = self._places if said is None else said
                return
        raise Refused("its process ended")


def _launch() -> subprocess.Popen:
    path = os.pathsep.join([str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {name: value for name, value in os.environ.items() if name not in OF_ONE_RUN}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "reno.tracking.apart"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # W&B's output would be written over the progress bar
        env={**environment, "PYTHONPATH": path},
        start_new_session=True,  # Ctrl-C must reach only the job, which then closes the open runs
    )


def _surroundings() -> tuple:
    return os.getcwd(), dict(os.environ)


# --- The process --------------------------------------------------------------------------------------------


def serve(calls: IO[bytes], answers: IO[bytes]) -> None:
    """Reads calls and makes them, until the stream ends."""
    from reno.tracking import RunCard, TrackingSpec
    from reno.tracking.runs import Runs

    def say(kind: str, what: Any) -> None:
        answers.write(json.dumps([kind, what]).encode() + b"\n")
        answers.flush()

    runs = None
    say("done", None)  # ready for calls
    for line in calls:
        shape, name, *arguments = json.loads(line)
        try:
            if name == "job":
                (job,) = arguments
                runs = Runs(
                    TrackingSpec(**job["settings"]), Path(job["results"]),
                    lambda step: say("step", step), lambda text: say("notice", text),
                )  # fmt: skip
            elif name == "start":
                runs.start(RunCard(**arguments[0]))
            elif name == "log":
                pixels = None
                if shape:
                    pixels = np.frombuffer(calls.read(int(np.prod(shape))), np.uint8).reshape(shape)
                runs.log(*arguments, pixels)
            else:
                getattr(runs, name)(*arguments)
            say("done", runs.places() if name in ("finish", "amend", "close") else None)
        except BaseException as error:  # also a SystemExit that the library raises
            runs.abandon()
            say("failed", typed_line(error))


def main() -> None:
    for number in (signal.SIGINT, *ENDING):
        signal.signal(number, signal.SIG_IGN)  # a cluster tells every process of a job, and the job closes the runs
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library's output must not mix with the answers
        try:
            serve(sys.stdin.buffer, answers)
        except BrokenPipeError:
            pass
        finally:
            os._exit(0)  # the job is gone: skip exit handlers, which may hang


if __name__ == "__main__":
    main()
